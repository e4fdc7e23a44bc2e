"""Covers to instructions, over whole ops or over one PSUM tile of a contraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.kernel import Affine, Operand
from nkigen_cp.ir.nki.recipes import parts_of
from nkigen_cp.ir.nki.row_recipes import ROW_RECIPES
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.place import Box, Placement, pieces, view
from nkigen_cp.lowering.rows import emit_rows
from nkigen_cp.solver.plan import CHUNK, Elementwise, Slot, box_order


def lower_elementwise(
    b: Builder, program: Program, spec: Elementwise, places: Mapping[str, Placement]
) -> None:
    """All of a cover's box: full chunks, then the remainder of a blocked run."""
    root = program.ops[spec.cover.root]
    order = box_order(program, spec.cover, spec.run)
    ranges = {d.name: Range(size=d.size) for d in root.digits if d.name not in spec.run.digits}
    size = root.size(spec.run.digits[0]) if spec.run.digits else 1
    for first, chunks, rows in pieces(size, spec.run):
        box = Box(
            run=spec.run,
            rows=rows,
            start=Affine(const=first * spec.run.block),
            chunks=chunks,
            ranges=ranges,
            order=order,
        )
        emit_cover(b, spec, places, box)


def emit_cover(b: Builder, spec: Elementwise, places: Mapping[str, Placement], box: Box) -> None:
    """One instruction per position of the looped digits of a box."""
    _looped(b, spec, places, box, list(spec.loops))


def _looped(
    b: Builder,
    spec: Elementwise,
    places: Mapping[str, Placement],
    box: Box,
    loops: list[str],
) -> None:
    if not loops:
        _instruction(b, spec, places, box)
        return
    digit, rest = loops[0], loops[1:]
    order = tuple(d for d in box.order if d != digit)
    if digit == CHUNK:
        for r in b.tiles("chunk", box.chunks, 1):
            start = box.start + r.start * box.run.block
            inner = replace(box, start=start, chunks=1, order=order)
            _looped(b, spec, places, inner, rest)
        return
    whole = box.ranges[digit]
    for r in b.tiles(digit.split("#")[0], whole.size, 1):
        ranges = {**box.ranges, digit: Range(start=whole.start + r.start, size=1)}
        _looped(b, spec, places, replace(box, ranges=ranges, order=order), rest)


def _instruction(b: Builder, spec: Elementwise, places: Mapping[str, Placement], box: Box) -> None:
    cover = spec.cover
    args: dict[str, Operand] = {}
    for slot in (*cover.writes, *cover.reads):
        args[slot.name] = view(places[slot.name], slot.access, _slot_box(slot, spec, box))
    args |= dict(cover.params)
    if cover.instruction == "tensor_reduce":
        args["num_axes"] = sum(1 for d in cover.reduced if box.ranges[d].size > 1)
    if cover.instruction in ROW_RECIPES:
        emit_rows(b, spec, args)
        return
    for part in parts_of(cover.instruction):
        given = {name: args[o] for name, o in part.operands.items() if o in args}
        b.emit(part.instruction, spec.engine, {**given, **part.numbers}, ops=cover.ops)


def _slot_box(slot: Slot, spec: Elementwise, box: Box) -> Box:
    return replace(box, order=spec.cover.spanned(slot, box.order))
