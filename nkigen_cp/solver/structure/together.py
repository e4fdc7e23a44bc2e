"""One loop for the windows of an axis that have a loop each, side by side.

Engines fill and drain once per run of a loop. Windows that have nothing to do with each other may
share a loop: every iteration does a block of each of them, and the engines work on one window while
another one is being loaded, reduced or stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.program import Loop, Program
from nkigen_cp.solver.structure.tried import Proposal, Search
from nkigen_cp.solver.structure.values import Structure


def together(job: Search, found: Sequence[Proposal]) -> list[Proposal]:
    """The first structure in which loops can be joined, with them joined; none if there is none.

    With two copies of the shared loop's tiles first, then with one.
    """
    for p in found:
        joined = [q for loops in _joined(p) if (q := _with_loops(job, p, loops)) is not None]
        if joined:
            return joined
    return []


def _with_loops(job: Search, p: Proposal, loops: tuple[Loop, ...]) -> Proposal | None:
    structure = Structure(splits=p.structure.splits, cuts=p.structure.cuts, loops=loops)
    program = job.program(structure)
    if program is None:
        return None
    # The program may be one that was made before, with other names for the same loops.
    structure = replace(structure, loops=tuple(program.loops.values()))
    return replace(p, structure=structure, program=program)


def _joined(p: Proposal) -> Iterator[tuple[Loop, ...]]:
    """The structure's loops with all that lie side by side as one, in two copies and in one."""
    beside = _beside(p.program)
    if not beside:
        return
    first, others = beside[0], beside[1:]
    digits = {o: d for k in beside for o, d in k.digits.items()}
    for copies in (2, 1):
        one = replace(first, digits=digits, copies=copies)
        yield tuple(
            one if k.name == first.name else k
            for k in p.structure.loops
            if all(k.name != other.name for other in others)
        )


def _beside(program: Program) -> list[Loop]:
    """Innermost loops of equal trips inside of the same loop, of which none needs another one."""
    paths = dict.fromkeys(o.path for o in program.ops.values() if len(o.path) > 1)
    inner = [p for p in paths if all(q[: len(p)] != p or q == p for q in paths)]
    if len(inner) < 2 or len(inner) != len(paths):
        return []
    loops = [program.loops[p[-1]] for p in inner]
    alike = all(p[:-1] == inner[0][:-1] for p in inner)
    equal = all(k.trips == loops[0].trips for k in loops)
    return loops if alike and equal and not _fed(program) else []


def _fed(program: Program) -> bool:
    """Whether some op reads what an innermost loop beside its own has written."""
    return any(
        len(w.path) > 1 and len(o.path) > 1 and w.path != o.path
        for o in program.ops.values()
        for a in o.accesses
        for w in program.producers(a.tensor)
    )
