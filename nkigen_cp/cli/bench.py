"""``nkigen-cp bench``: how long compiling takes, and what the result is expected to cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

import nkigen_cp as cp
from nkigen_cp.cli.build import SolveOptions, solve_for, trace_declared
from nkigen_cp.cli.command import Command, find_target, program_options, solve_options
from nkigen_cp.cli.figures import Figures, figures
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.program import load_function
from nkigen_cp.cli.show import kernel_table

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Seconds that a stage took, one per round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@click.command("bench", cls=Command, short_help="Time every stage of compiling.")
@program_options
@solve_options
@click.option(
    "--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Rounds to time."
)
@json_option
def bench_command(
    place: str, declared: tuple[str, ...], repeat: int, *, as_json: bool, **options: Any
) -> None:
    """Time every stage of compiling a function and print the modelled figures of its kernel."""
    function, solve = load_function(place), SolveOptions(**options)
    clock = _Clock()
    found: Figures | None = None
    for number in range(1, repeat + 1):
        found = _round(clock, lambda: trace_declared(function, declared), solve, f"round {number}")
    stages = clock.stages()
    if as_json:
        print_json({"stages": stages, "figures": found})
        return
    console = Console()
    console.print(_table(stages))
    if found is not None:
        console.print(kernel_table(found))


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def __call__(self, stage: str, work: Callable[[], _Result]) -> _Result:
        """Do the work and note how long it took."""
        start = time.perf_counter()
        result = work()
        self._seconds.setdefault(stage, []).append(time.perf_counter() - start)
        return result

    def stages(self) -> list[Stage]:
        return [Stage(name=n, seconds=tuple(s)) for n, s in self._seconds.items()]


def _round(clock: _Clock, trace: Callable[[], cp.Graph], solve: SolveOptions, what: str) -> Figures:
    graph = clock("trace", trace)
    plan = clock("solve", lambda: solve_for(graph, solve, find_target(solve.target), what))
    kernel = clock("lower and verify", lambda: cp.lower(plan))
    clock("emit", lambda: cp.emit_nki(kernel))
    return clock("count and estimate", lambda: figures(plan, kernel))


def _table(stages: list[Stage]) -> Table:
    table = Table("stage")
    for name in ("median s", "shortest s", "longest s"):
        table.add_column(name, justify="right")
    for s in stages:
        table.add_row(s.name, *(f"{t:.3f}" for t in (s.median, min(s.seconds), max(s.seconds))))
    total = sum(s.median for s in stages)
    table.add_row("together", f"{total:.3f}", "", "", end_section=True)
    return table
