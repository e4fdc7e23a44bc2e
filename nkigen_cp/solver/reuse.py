"""Reuse: an elementwise result may take the place in SBUF of an operand that nobody needs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.choices import Choice
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.plan import Elementwise, Slot
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.targets.target import Target

WORTH_SHARE = 64
"""Forms of less than one in so many parts of SBUF are not worth a decision."""


def is_worth_it(size_bytes: int, target: Target) -> bool:
    """Whether a form is so large that where its result lies may be decided."""
    return size_bytes * WORTH_SHARE >= target.sbuf_partition_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """The result's form takes over the operand's.

    From ``first`` to ``last`` the model counts both, though only one is there at a time.
    """

    operand: str
    operand_form: Layout
    result: str
    result_form: Layout
    first: int
    last: int
    size_bytes: int
    candidates: tuple[int, ...]


def reuses(
    program: Program,
    candidates: tuple[Candidate, ...],
    choices: Mapping[str, Choice],
    positions: Mapping[str, int],
    target: Target,
) -> tuple[Reuse, ...]:
    """Every reuse that some candidate allows.

    Operand and result lie alike, in elements of one dtype, and live in the same loops; the
    candidate is the operand's last reader; element by element, it reads before it writes.
    """
    found: dict[tuple[str, Layout, str, Layout], list[int]] = {}
    for i, c in enumerate(candidates):
        for a, x, b, y in _pairs(program, c, choices, positions):
            if is_worth_it(choices[a].sizes[x], target):
                found.setdefault((a, x, b, y), []).append(i)
    return tuple(
        Reuse(
            operand=a,
            operand_form=x,
            result=b,
            result_form=y,
            first=choices[b].alive[y][0],
            last=choices[a].alive[x][1],
            size_bytes=choices[b].sizes[y],
            candidates=tuple(found[a, x, b, y]),
        )
        for a, x, b, y in found
    )


def _pairs(
    program: Program, c: Candidate, choices: Mapping[str, Choice], positions: Mapping[str, int]
) -> Iterator[tuple[str, Layout, str, Layout]]:
    if not isinstance(c.spec, Elementwise):
        return
    root = c.ops[-1]
    accesses = {s.name: s for s in (*c.spec.cover.reads, *c.spec.cover.writes)}
    for make in c.makes:
        for need in c.needs:
            slots = accesses[need.slot], accesses[make.slot]
            if need.layout is None or make.layout is None or any(s.column for s in slots):
                continue
            a, b = choices[need.tensor], choices[make.tensor]
            alike = a.tensor.dtype.name == b.tensor.dtype.name
            last = max(positions[r] for r in a.consumers) == positions[root]
            if not (alike and last) or program.leaves(need.tensor):
                continue
            if len(program.producers(make.tensor)) > 1 or not _in_step(*slots):
                continue
            for x in a.served[need.layout, root]:
                for y in b.made[make.layout]:
                    if _fits(a, x, b, y, c.path):
                        yield need.tensor, x, make.tensor, y


def _in_step(read: Slot, written: Slot) -> bool:
    """Whether every element is written where the one of the same place was read."""
    first, second = (s.access.index for s in (read, written))
    return len(first) == len(second) and all(
        (i.digit, i.offset, i.step, i.loop) == (j.digit, j.offset, j.step, j.loop)
        for i, j in zip(first, second, strict=True)
    )


def _fits(a: Choice, x: Layout, b: Choice, y: Layout, path: Path) -> bool:
    """Same place in every partition, for as long; nothing else still reads the operand."""
    return (
        x.home == y.home == path and a.sizes[x] == b.sizes[y] and _arranged(a, x) == _arranged(b, y)
    )


def _arranged(choice: Choice, form: Layout) -> object:
    """Sizes of what the form holds, and which of them lie on the partitions."""
    factors = [f for f in choice.tensor.factors if f.name not in form.fixed_names]
    names = [f.name for f in factors]
    return (
        [f.size for f in factors],
        [names.index(n) for n in form.partition],
        [names.index(n) for n in form.free],
        form.block,
        form.replicas,
    )
