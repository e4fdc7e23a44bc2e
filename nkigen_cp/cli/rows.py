"""Rows of a sweep: one compiled program each, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.bar import Bar
from rich.table import Table

from nkigen_cp.cli.build import Built
from nkigen_cp.cli.figures import Figures, figures
from nkigen_cp.cli.plot import Mark
from nkigen_cp.cli.show import microseconds, percent
from nkigen_cp.errors import Infeasible


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The values a program was compiled with and its figures; where there is no plan, why."""

    values: Mapping[str, str]
    figures: Figures | None
    reason: str = ""


def row(values: Mapping[str, str], compile_it: Callable[[], Built]) -> Row:
    """Compile one program; that nothing fits is a result of a sweep, no error."""
    try:
        built = compile_it()
    except Infeasible as error:
        return Row(values=values, figures=None, reason=" ".join(str(error).split()))
    return Row(values=values, figures=figures(built.plan, built.kernel))


def sweep_table(rows: Sequence[Row]) -> Table:
    """One line per row, with a bar as long as its latency."""
    table = Table()
    for name in rows[0].values:
        table.add_column(name, no_wrap=True)
    for name in ("latency", "x roofline", "instructions", "HBM MB", "gap"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    longest = max((r.figures.latency_ns for r in rows if r.figures), default=0.0)
    for r in rows:
        table.add_row(*r.values.values(), *_cells(r, longest))
    return table


def _cells(row: Row, longest: float) -> tuple[str | Bar, ...]:
    f = row.figures
    if f is None:
        return ("-", "-", "-", "-", "-", row.reason)
    return (
        microseconds(f.latency_ns),
        f"{f.latency_ns / f.roofline_ns:.2f}" if f.roofline_ns else "-",
        f"{f.instructions:,}",
        f"{f.hbm_bytes / 1e6:,.2f}",
        percent(f.gap),
        Bar(longest, 0.0, f.latency_ns),  # as wide as the terminal has room
    )


def marks(rows: Sequence[Row]) -> list[Mark]:
    """The bars of the rows that have a plan."""
    return [
        Mark(
            label=", ".join(f"{k}={v}" for k, v in r.values.items()),
            latency_ns=r.figures.latency_ns,
            roofline_ns=r.figures.roofline_ns,
        )
        for r in rows
        if r.figures
    ]
