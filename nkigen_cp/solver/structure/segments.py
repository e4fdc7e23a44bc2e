"""Innermost loops over the blocks of a row axis, so that every engine works on the block before.

Engines take their instructions in order. Between two uses of the Tensor Engine, steps run block by
block: while one block is exponentiated the next is already reduced. The Tensor Engine itself takes
all blocks of one contraction before it turns to the next, so it never waits for what follows.
"""

from __future__ import annotations

from nkigen_cp.ir.factor.program import FactorOp, Loop, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.structure.values import Structure

WORTH_OPS = 3
"""Ops besides a contraction that make a segment worth a loop."""


def segmented(program: Program, structure: Structure, deepest: int) -> Structure:
    """The structure with a loop for every segment of its innermost nests."""
    loops = list(structure.loops)
    for path in dict.fromkeys(o.path for o in program.ops.values()):
        if not path or len(path) >= deepest:
            continue
        for segment in _segments(program, path):
            digits = {o.name: d for o in segment if (d := _block_digit(program, o)) is not None}
            busy = [o for o in segment if OPS[o.kind].family is not Family.CONTRACT]
            sizes = dict.fromkeys(program.ops[o].size(d) for o, d in digits.items())
            if len(digits) == len(segment) and len(busy) >= WORTH_OPS and len(sizes) == 1:
                label = f"L{len(loops)}"
                loops.append(Loop(name=label, trips=next(iter(sizes)), digits=digits, segment=True))
    return Structure(cuts=structure.cuts, loops=tuple(loops))


def _segments(program: Program, path: tuple[str, ...]) -> list[list[FactorOp]]:
    """Neighbouring ops of one path, from one contraction up to the next."""
    found: list[list[FactorOp]] = [[]]
    for op in program.ops.values():
        if op.path != path:
            found.append([])
            continue
        if OPS[op.kind].family is Family.CONTRACT or _block_digit(program, op) is None:
            found.append([])
        found[-1].append(op)
    return [s for s in found if s]


def _block_digit(program: Program, op: FactorOp) -> str | None:
    """The digit that counts blocks of an axis one part of which the op's loops already take."""
    for loop in reversed(op.path):
        looped = program.loops[loop].digits.get(op.name, "")
        axis, _, place = looped.rpartition(".")
        inner = f"{axis}.{int(place) + 1}" if axis and place.isdigit() else ""
        last = f"{axis}.{int(place) + 2}" if inner else ""
        names = {d.name: d for d in op.parallel}
        if inner in names and last in names and names[inner].size > 1:
            return inner
    return None
