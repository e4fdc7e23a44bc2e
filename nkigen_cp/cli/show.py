"""What the terminal shows: solver progress, the figures of a kernel, differences."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.table import Table

import nkigen_cp as cp
from nkigen_cp.cli.compare import Difference
from nkigen_cp.ir.nki.kernel import Kernel


class Progress(Protocol):
    """What ``solve`` reports of its best plan so far; bound and gap may not be known yet."""

    @property
    def objective_ns(self) -> float:
        """Cost of the best plan."""
        ...

    @property
    def bound_ns(self) -> float | None:
        """Proven lower bound."""
        ...

    @property
    def gap(self) -> float | None:
        """Distance to the bound as a fraction of the objective."""
        ...

    @property
    def wall_s(self) -> float:
        """Time spent so far."""
        ...


def microseconds(ns: float | None) -> str:
    """A time for the reader, or ``-`` if it is not known."""
    return "-" if ns is None else f"{ns / 1000:,.1f} us"


def percent(fraction: float | None) -> str:
    """A fraction for the reader, or ``-`` if it is not known."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def progress_text(progress: Progress) -> str:
    """One line: best objective, bound, gap and time spent."""
    return (
        f"solving: best {microseconds(progress.objective_ns)}, "
        f"bound {microseconds(progress.bound_ns)}, gap {percent(progress.gap)}, "
        f"{progress.wall_s:.0f} s"
    )


@contextmanager
def solving() -> Generator[Callable[[Progress], None]]:
    """A callback for ``solve`` that keeps one line of a terminal's stderr up to date."""
    with Console(stderr=True).status("solving") as status:
        yield lambda progress: status.update(progress_text(progress))


def kernel_table(plan: cp.Plan, kernel: Kernel) -> Table:
    """Status, cost and proven gap of a plan, instructions and HBM traffic of its kernel."""
    counts = cp.count(kernel)
    engines = ", ".join(f"{engine} {n:,}" for engine, n in counts.by_engine.items())
    rows = (
        ("plan", str(plan.status)),
        ("estimated cost", microseconds(plan.objective_ns)),
        ("proven bound", f"{microseconds(plan.bound_ns)} (gap {percent(plan.gap)})"),
        ("instructions", f"{counts.instructions:,} ({engines})"),
        ("HBM traffic", f"{counts.hbm_bytes / 1e6:,.1f} MB ({counts.ratio:.2f}x compulsory)"),
    )
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*row)
    return table


def difference_table(differences: Sequence[Difference], reference: str) -> Table:
    """One row per output: its error against the reference and whether that is allowed."""
    table = Table(title=f"simulated kernel against {reference}")
    for column in ("output", "max error", "relative", "allowed", ""):
        table.add_column(column, justify="left" if column in {"output", ""} else "right")
    for d in differences:
        verdict = "[green]ok[/]" if d.matches else "[red]MISMATCH[/]"
        figures = (f"{d.absolute:.2e}", f"{d.relative:.2e}", f"{d.tolerance:.0e}")
        table.add_row(d.name, *figures, verdict)
    return table
