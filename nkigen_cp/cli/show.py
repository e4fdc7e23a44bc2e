"""What the terminal shows: solver progress, the figures of a kernel, differences."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from nkigen_cp.cli.compare import Difference
from nkigen_cp.cli.figures import Figures


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


def microseconds(ns: float | None) -> str:
    """A time for the reader, or ``-`` if it is not known."""
    return "-" if ns is None else f"{ns / 1000:,.1f} us"


def percent(fraction: float | None) -> str:
    """A fraction for the reader, or ``-`` if it is not known."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def progress_text(progress: Progress) -> str:
    """One line: best objective, bound and gap."""
    return (
        f"best {microseconds(progress.objective_ns)}, "
        f"bound {microseconds(progress.bound_ns)}, gap {percent(progress.gap)}"
    )


@contextmanager
def solving(what: str = "solving") -> Generator[Callable[[Progress], None]]:
    """A callback for ``solve`` that keeps one line of a terminal's stderr up to date.

    The bar is full when the plan is proven to be the best.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ProgressBar(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)

        def update(progress: Progress) -> None:
            closed = None if progress.gap is None else 1 - progress.gap
            text = f"{what}: {progress_text(progress)}"
            bar.update(task, description=text, completed=closed or 0.0, total=closed and 1.0)

        yield update


def kernel_table(figures: Figures) -> Table:
    """Status, cost and proven gap of a plan, instructions and HBM traffic of its kernel."""
    f = figures
    engines = ", ".join(f"{engine} {n:,}" for engine, n in f.by_engine.items())
    roofline = f"{f.latency_ns / f.roofline_ns:.2f}x the roofline" if f.roofline_ns else "no roof"
    rows = (
        ("plan", f.status),
        ("estimated cost", microseconds(f.objective_ns)),
        ("proven bound", f"{microseconds(f.bound_ns)} (gap {percent(f.gap)})"),
        ("modelled latency", f"{microseconds(f.latency_ns)} ({roofline})"),
        ("instructions", f"{f.instructions:,} ({engines})"),
        ("HBM traffic", f"{f.hbm_bytes / 1e6:,.1f} MB ({f.hbm_ratio:.2f}x compulsory)"),
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
