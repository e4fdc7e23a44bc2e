"""Moves on chip: PE transposes and constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.nki.kernel import Affine, Memory, Operand, View
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.place import (
    Box,
    PlacedDim,
    Placement,
    buffer_shape,
    divided,
    layout_run,
    own_ranges,
    pieces,
    view,
    whole,
)
from nkigen_cp.solver.plan import CHUNK, Generate, Transpose, affine_pattern
from nkigen_cp.solver.plan.layout import geometry, own_access

PSUM_COPIES = 4
"""Banks that the tiles of a step take in turn. From the end of a write to the eviction pass 420 ns,
from there to the next write 240 ns: two banks leave the Tensor Engine waiting, four of the eight
do not and leave as many for the step before or behind."""


def lower_transpose(b: Builder, source: Placement, target: Placement, spec: Transpose) -> None:
    """Blocks through the Tensor Engine into PSUM, several per bank, evicted together."""
    assert source.layout is not None
    assert target.layout is not None
    tensor = source.tensor
    moved = (*source.layout.partition, *target.layout.partition)
    # A piece on its way holds one position of a factor that the target has room for all of.
    moved = (*moved, *source.layout.fixed_names)
    others = [f for f in geometry(tensor, target.layout).free if f.name not in moved]
    item = spec.items[0] if spec.items else None
    loops = [(f.name, item.block if item and item.digit == f.name else 1) for f in others]
    a_name = source.layout.partition[0]
    # Chunks of the source outermost, in the order in which they are made.
    for ra in b.tiles(a_name, tensor.factor(a_name).size, source.layout.block):
        _transpose_loops(_Transposing(b, source, target, spec, ra), loops, {})


@dataclass(frozen=True, slots=True)
class _Transposing:
    b: Builder
    source: Placement
    target: Placement
    spec: Transpose
    rows: Range  # of the source's outermost partition factor


def _transpose_loops(t: _Transposing, loops: list[tuple[str, int]], at: dict[str, Range]) -> None:
    tensor = t.source.tensor
    if loops:
        name, block = loops[0]
        for r in t.b.tiles(name, tensor.factor(name).size, block):
            _transpose_loops(t, loops[1:], {**at, name: r})
        return
    assert t.target.layout is not None
    b_name = t.target.layout.partition[0]
    item = t.spec.items[0] if t.spec.items else None
    b_block = item.block if item and item.digit == b_name else t.target.layout.block
    for rb in t.b.tiles(b_name, tensor.factor(b_name).size, b_block):
        _transpose_bank(t, at, rb)


def _transpose_bank(t: _Transposing, at: dict[str, Range], rb: Range) -> None:
    """All blocks that share a PSUM bank, and their eviction."""
    tensor, a, c = t.source.tensor, t.source.layout, t.target.layout
    assert a is not None
    assert c is not None
    a_run, c_run = layout_run(tensor, a), layout_run(tensor, c)
    chunks = max(1, rb.size // c.block)
    rows = min(rb.size, c.block)
    item = t.spec.items[0] if t.spec.items else None
    by_item = item is not None and item.digit in at
    dims = [PlacedDim(factor=CHUNK, size=chunks, base=divided(rb.start, c.block))]
    if by_item and item is not None:
        dims = [PlacedDim(factor=item.digit, size=at[item.digit].size, base=at[item.digit].start)]
    a_ranges = {n: Range(size=tensor.factor(n).size) for n in a.partition[1:]}
    a_ranges[a.partition[0]] = t.rows
    dims += [
        PlacedDim(factor=n, size=a_ranges[n].size, base=a_ranges[n].start) for n in a.partition
    ]
    inner = c_run.partitions // c_run.block
    buffer = t.b.buffer(
        f"{tensor.name}_T",
        buffer_shape(rows * inner, dims),
        tensor.dtype,
        Memory.PSUM,
        tensor=tensor.name,
        note=f"blocks of {tensor.name}, transposed",
        copies=PSUM_COPIES,
    )
    psum = Placement(buffer=buffer, tensor=tensor, layout=c, dims=tuple(dims))
    box = Box(run=c_run, rows=rows, start=rb.start, chunks=chunks)
    over = item.digit if by_item and item is not None else CHUNK
    count = at[over].size if over in at else chunks
    for r in t.b.tiles("blk", count, 1):
        one = _one_block(box, at, over, r)
        ranges = {**one.ranges, **a_ranges}
        c_ranges = {n: Range(size=tensor.factor(n).size) for n in c.partition[1:]}
        c_ranges[c.partition[0]] = Range(start=one.start, size=rows)
        data = Box(
            run=a_run,
            rows=t.rows.size,
            start=t.rows.start,
            ranges={**ranges, **c_ranges},
            order=c.partition,
        )
        access = own_access(tensor, max(a.fixed, c.fixed, key=len))
        t.b.emit(
            "nc_transpose",
            "tensor",
            {
                "dst": view(psum, access, replace(one, ranges=ranges, order=a.partition)),
                "data": view(t.source, access, data),
            },
            note=f"transpose {tensor.name}",
        )
    full = replace(box, ranges={**at, **a_ranges}, order=(over, *a.partition))
    access = own_access(tensor, max(a.fixed, c.fixed, key=len))
    t.b.emit(
        "tensor_copy",
        t.spec.engine,
        {"dst": view(t.target, access, full), "src": view(psum, access, full)},
        note=f"transpose {tensor.name}",
    )


def _one_block(box: Box, at: Mapping[str, Range], over: str, r: Range) -> Box:
    if over == CHUNK:
        return replace(box, start=box.start + r.start * box.run.block, chunks=1, ranges=at)
    ranges = {**at, over: Range(start=at[over].start + r.start, size=1)}
    return replace(box, ranges=ranges)


def lower_generate(b: Builder, target: Placement, spec: Generate) -> None:
    """One value or the form itself everywhere, then every select over it."""
    tensor, layout = target.tensor, target.layout
    assert layout is not None
    note = f"make {tensor.name}"
    if spec.fill is not None:
        value = _value(spec.fill, tensor.dtype)
        b.emit("memset", "gpsimd", {"dst": whole(target.buffer), "value": value}, note=note)
    if spec.fill is None:
        for tile, form in _counted(target, spec, spec.first):
            b.emit("iota", "gpsimd", {"dst": tile, **form}, note=note)
    for select in spec.selects:
        for tile, form in _counted(target, spec, select.offset):
            arguments: dict[str, Operand] = {
                "dst": tile,
                **form,
                "on_true_tile": tile,
                "on_false_value": _value(select.value, tensor.dtype),
                "cmp_op": select.keep,
            }
            b.emit("affine_select", "gpsimd", arguments, note=note)


def _counted(
    target: Placement, spec: Generate, first: int
) -> Iterator[tuple[View, dict[str, Operand]]]:
    """The tiles of a constant and the affine form over each of them, which starts at ``first``."""
    tensor, layout, weight = target.tensor, target.layout, spec.coefficients
    assert layout is not None
    run = layout_run(tensor, layout)
    offset = Affine(const=first)
    for fixed in layout.fixed:
        offset = offset + target.at[fixed.loop] * weight.get(fixed.factor, 0)
    size = tensor.factor(layout.partition[0]).size if layout.partition else 1
    outer = weight.get(layout.partition[0], 0) * layout.block if layout.partition else 0
    inner = weight.get(layout.partition[-1], 0) if layout.partition else 0
    for start, chunks, rows in pieces(size, run):
        box = Box(
            run=run,
            rows=rows if layout.partition else run.partitions,
            start=Affine(const=start * run.block),
            chunks=chunks,
            ranges=own_ranges(tensor, layout),
            order=(CHUNK, *(f.name for f in geometry(tensor, layout).free)),
        )
        yield (
            view(target, own_access(tensor, layout.fixed), box),
            {
                "pattern": affine_pattern(tensor, layout, weight, chunks),
                "channel_multiplier": inner,
                "offset": offset + start * outer,
            },
        )


def _value(value: float, dtype: DType) -> float | int:
    return float(value) if dtype.is_float else int(value)
