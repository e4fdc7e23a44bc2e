"""``nkigen-cp sensitivity``: what a kernel would gain from more of a chip, or lose with less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

import nkigen_cp as cp
from nkigen_cp.cli.build import SolveOptions, build_for, trace_declared
from nkigen_cp.cli.command import Command, find_target, program_options, solve_options
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.plot import Mark, drawing, plot_option
from nkigen_cp.cli.program import load_function
from nkigen_cp.cli.scaling import RESOURCES, scaled
from nkigen_cp.cli.show import microseconds
from nkigen_cp.errors import Infeasible, KernelError
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.targets import Target

AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip with ``factor`` times of a resource."""

    resource: str
    factor: float
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The latency on a chip and its change against the chip as it is; None where nothing fits."""

    resource: str
    factor: float
    latency_ns: float | None
    roofline_ns: float | None
    change: float | None


@click.command("sensitivity", cls=Command, short_help="Try chips with more or less of one thing.")
@program_options
@solve_options
@click.option(
    "--factor",
    "factors",
    type=click.FloatRange(min=0.0, min_open=True),
    multiple=True,
    default=(0.5, 2.0),
    show_default=True,
    help="How much of each resource there is, against the chip as it is.",
)
@plot_option
@json_option
def sensitivity_command(
    place: str,
    declared: tuple[str, ...],
    factors: tuple[float, ...],
    plot: Path | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Solve again for chips with more or less of one resource: SBUF, bandwidth, engine clocks.

    Every chip gets the best of all plans found that it can run.
    """
    draw = drawing(plot)
    solve = SolveOptions(**options)
    graph = trace_declared(load_function(place), declared)
    target = find_target(solve.target)
    chips = [
        Chip(resource=AS_IT_IS, factor=1.0, target=target),
        *(
            Chip(resource=r, factor=f, target=scaled(target, r, f))
            for r in RESOURCES
            for f in factors
        ),
    ]
    answers = _answers(chips, _kernels(graph, solve, chips))
    console = Console(quiet=as_json)
    console.print(_table(answers))
    draw(_marks(answers), place, console)
    if as_json:
        print_json({"rows": answers})


def _kernels(graph: Graph, solve: SolveOptions, chips: Sequence[Chip]) -> list[Kernel]:
    """What each chip's own solve makes, equal ones once.

    Raises:
        Infeasible: the chip as it is has no plan; the others may have none.
    """
    found: list[Kernel] = []
    for number, chip in enumerate(chips, 1):
        try:
            kernel = build_for(graph, solve, chip.target, f"{number} of {len(chips)}").kernel
        except Infeasible:
            if chip.resource == AS_IT_IS:
                raise
            continue
        if all((kernel.body, kernel.buffers) != (k.body, k.buffers) for k in found):
            found.append(kernel)
    return found


def _answers(chips: Sequence[Chip], kernels: Sequence[Kernel]) -> list[Answer]:
    best = [_best(chip.target, kernels) for chip in chips]
    base = best[0].latency_ns if best[0] else 0.0
    return [
        Answer(
            resource=chip.resource,
            factor=chip.factor,
            latency_ns=time and time.latency_ns,
            roofline_ns=time and time.roofline_ns,
            change=time and time.latency_ns / base - 1,
        )
        for chip, time in zip(chips, best, strict=True)
    ]


def _best(target: Target, kernels: Sequence[Kernel]) -> cp.Estimate | None:
    """The quickest kernel that the target can run.

    A search ends in one of many plans that cost about the same, so that less of a chip may give a
    better one by chance; what is good on another chip is therefore tried here too.
    """
    times = [cp.estimate(k, target) for k in kernels if _runs(k, target)]
    return min(times, key=lambda time: time.latency_ns, default=None)


def _runs(kernel: Kernel, target: Target) -> bool:
    try:
        verify_kernel(kernel, target)
    except KernelError:
        return False
    return True


def _marks(answers: Sequence[Answer]) -> list[Mark]:
    return [
        Mark(
            label=f"{a.resource} x {a.factor:g}",
            latency_ns=a.latency_ns,
            roofline_ns=a.roofline_ns,
        )
        for a in answers
        if a.latency_ns is not None and a.roofline_ns is not None
    ]


def _table(answers: Sequence[Answer]) -> Table:
    table = Table("resource")
    for name in ("factor", "latency", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    longest = max(a.latency_ns or 0.0 for a in answers)
    for a in answers:
        if a.latency_ns is None or a.change is None:
            table.add_row(a.resource, f"{a.factor:g}", "-", "-", "nothing fits")
            continue
        change = "" if a.resource == AS_IT_IS else f"{100 * a.change:+.1f} %"
        time = microseconds(a.latency_ns)
        table.add_row(a.resource, f"{a.factor:g}", time, change, Bar(longest, 0.0, a.latency_ns))
    return table
