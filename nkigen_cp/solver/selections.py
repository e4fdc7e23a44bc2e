"""Covers of ``select``: by a predicated copy, or with a number or column for one of the sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.ir.tensor.graph import Immediate
from nkigen_cp.solver.plan import Cover, Slot, Value


def selections(program: Program, op: FactorOp) -> list[Cover]:
    """Instructions that choose between two sides of which one at least is a tile."""
    predicate, on_true, on_false = op.inputs
    if isinstance(predicate, Immediate):
        return []
    found: list[Cover] = []
    for tile, other, reverse in ((on_true, on_false, False), (on_false, on_true, True)):
        if not isinstance(tile, Immediate):
            found += _with_column(program, op, (predicate, tile), other, reverse=reverse)
    if not isinstance(on_true, Immediate) and not isinstance(on_false, Immediate):
        reads = {"predicate": predicate, "on_true": on_true, "on_false": on_false}
        dtypes = {program.tensors[a.tensor].dtype for a in (on_true, on_false, op.output)}
        if len(dtypes) == 1:
            found.append(_cover(op, "select", reads))
    return found


def _with_column(
    program: Program,
    op: FactorOp,
    tiles: tuple[Access, Access],
    other: Access | Immediate,
    *,
    reverse: bool,
) -> list[Cover]:
    """``other`` is a number or the same along some digits, which then may all be free."""
    predicate, tile = tiles
    dtype = program.tensors[tile.tensor].dtype
    if dtype.size_bytes == 4 and not dtype.is_float:
        return []
    reads = {"predicate": predicate, "on_true": tile}
    flags: dict[str, Value] = {"reverse_pred": True} if reverse else {}
    if isinstance(other, Immediate):
        return [_cover(op, "select_reduce", reads, {"on_false": float(other.value), **flags})]
    wide = program.tensors[other.tensor].dtype.name != "float32"
    if wide or set(other.digits) == {d.name for d in op.digits}:
        return []
    cover = _cover(op, "select_reduce", reads, flags)
    column = Slot(name="on_false", access=other, column=True)
    return [replace(cover, reads=(*cover.reads, column))]


def _cover(
    op: FactorOp,
    instruction: str,
    reads: Mapping[str, Access],
    params: Mapping[str, Value] | None = None,
) -> Cover:
    return Cover(
        instruction=instruction,
        ops=(op.name,),
        reads=tuple(Slot(name=name, access=access) for name, access in reads.items()),
        writes=(Slot(name="dst", access=op.output),),
        params=dict(params or {}),
        engines=COVERING[instruction].engines,
    )
