"""Loop nests: what runs in them, what they keep busy, and their share of the critical path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from nkigen_cp.ir.factor.program import Access, FactorTensor, Program
from nkigen_cp.report.model import LoopLine, NestLine, StepLine
from nkigen_cp.report.timing import Timing, spans
from nkigen_cp.report.wording import in_order
from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.plan import PlanData, Step


def nest_lines(
    program: Program,
    plan: PlanData,
    steps: Sequence[StepLine],
    timing: Timing,
    exclusive: Mapping[str, int],
) -> tuple[NestLine, ...]:
    """One line per outermost loop in order of execution, and one for what is in none."""
    nests: dict[str, list[Step]] = {}
    for step in plan.steps:
        nests.setdefault(nest_of(step.path), []).append(step)
    when = spans(timing)
    return tuple(
        _nest(program, name, inside, steps, when, exclusive.get(name, 0))
        for name, inside in nests.items()
    )


def _nest(
    program: Program,
    name: str,
    inside: Sequence[Step],
    lines: Sequence[StepLine],
    when: Mapping[int, tuple[int, int]],
    exclusive_ns: int,
) -> NestLine:
    busy = {e: sum(s.busy_ns.get(e, 0) for s in inside) for e in ENGINES}
    times = [when[s.group] for s in inside if s.group in when]
    loops = dict.fromkeys(loop for s in inside for loop in s.path)
    return NestLine(
        name=name,
        loops=tuple(_loop(program, loop) for loop in loops),
        steps=tuple(s.group for s in inside),
        ops=tuple(o.name for s in inside for o in lines[s.group].ops),
        busy_ns=in_order(busy),
        limiting=max(ENGINES, key=busy.__getitem__),
        exclusive_ns=exclusive_ns,
        start_ns=min((a for a, _ in times), default=0),
        end_ns=max((b for _, b in times), default=0),
    )


def _loop(program: Program, name: str) -> LoopLine:
    loop = program.loops[name]
    tensor, axis, block = next(_counted(program, name), ("", "", 1))
    return LoopLine(
        name=name,
        trips=loop.trips,
        axis=f"{axis} of {tensor}" if axis else "",
        block=block,
        copies=loop.copies,
    )


def _counted(program: Program, loop: str) -> Iterator[tuple[str, str, int]]:
    """(tensor, axis, positions per iteration) of what a loop takes one position of at a time."""
    for op in program.ops.values():
        for access in (op.output, *op.accesses):
            tensor = program.tensors[access.tensor]
            yield from _positions(tensor, access, loop)


def _positions(tensor: FactorTensor, access: Access, loop: str) -> Iterator[tuple[str, str, int]]:
    for factor, index in zip(tensor.factors, access.index, strict=True):
        if index.loop == loop:
            dim = next(d for d in tensor.dims if factor in d)
            inner = dim[dim.index(factor) + 1 :]
            yield tensor.name, factor.name, math.prod(f.size for f in inner)
