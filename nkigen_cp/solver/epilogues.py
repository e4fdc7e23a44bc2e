"""Covers that read a contraction's PSUM tiles: a copy, and those of the ops behind it."""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.solver.covers import (
    align,
    copying_reduction,
    covers_of,
    first_reduction,
    inner_producer,
    renamed,
)
from nkigen_cp.solver.plan import Cover, Slot

CHAIN_MAX = 3
"""Ops after a contraction that one instruction may cover."""


def epilogues_of(program: Program, op: FactorOp) -> list[Cover]:
    """Covers that may read the contraction's tiles out of PSUM, in the contraction's digits."""
    copy = Cover(
        instruction="tensor_copy",
        ops=(op.name,),
        reads=(Slot(name="src", access=op.output),),
        writes=(Slot(name="dst", access=op.output),),
        engines=("vector", "scalar"),
    )
    found: list[Cover] = []
    for root in _readers(program, op):
        for cover in covers_of(program, root):
            if _first_use(program, cover, op) is not None:
                found.append(replace(cover, internal=(*cover.internal, op.output.tensor)))
    found += [copying_reduction(r) for r in _shared_reduction(program, op.output.tensor)]
    return [copy, *(c for cover in found if (c := _in_digits(program, op, cover)) is not None)]


def _readers(program: Program, op: FactorOp) -> list[FactorOp]:
    """Ops that one instruction reading the contraction might end in.

    They are the sole readers after it, one after the other, and a reduction of what the last of
    these yields.
    """
    found: list[FactorOp] = []
    tensor = op.output.tensor
    for _ in range(CHAIN_MAX + 1):
        readers = program.consumers(tensor)
        alone = len(readers) == 1 and not program.leaves(tensor)
        found += readers if alone else _shared_reduction(program, tensor)
        if not alone:
            break
        tensor = readers[0].output.tensor
    return found


def _shared_reduction(program: Program, tensor: str) -> list[FactorOp]:
    """The first reduction of a tensor that others need too."""
    shared = len(program.consumers(tensor)) > 1 or program.leaves(tensor)
    first = first_reduction(program, tensor)
    return [first] if shared and first is not None else []


def _in_digits(program: Program, op: FactorOp, cover: Cover) -> Cover | None:
    """The cover in the contraction's digits, if one of its full operands is the contraction.

    None also where what the instruction writes on the way would be thrown away.
    """
    root = program.ops[cover.root]
    engines = tuple(e for e in cover.engines if e != "gpsimd")
    wasted = any(s.access.tensor in cover.internal for s in cover.writes)
    for slot in cover.reads if engines and not wasted else ():
        if slot.access.tensor != op.output.tensor or slot.column:
            continue
        rename = align(op, slot.access, root)
        if rename is None or set(rename.values()) != {d.name for d in root.digits}:
            continue
        back = {v: k for k, v in rename.items()}
        return replace(
            cover,
            ops=(op.name, *cover.ops),
            reads=tuple(replace(s, access=renamed(s.access, back)) for s in cover.reads),
            writes=tuple(replace(s, access=renamed(s.access, back)) for s in cover.writes),
            engines=engines,
            reduced=tuple(back[d] for d in cover.reduced),
        )
    return None


def _first_use(program: Program, cover: Cover, op: FactorOp) -> FactorOp | None:
    """The op inside the cover that reads the contraction, if it is its only reader."""
    for name in cover.ops:
        for access in program.ops[name].accesses:
            if access.tensor == op.output.tensor:
                found = inner_producer(program, access, program.ops[name])
                return program.ops[name] if found is not None and found.op.name == op.name else None
    return None
