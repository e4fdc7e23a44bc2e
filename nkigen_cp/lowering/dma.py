"""DMA between HBM and on-chip forms: loads, and stores through index maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import Access
from nkigen_cp.ir.nki.kernel import Affine
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.place import (
    Box,
    Placement,
    layout_run,
    own_ranges,
    view,
)
from nkigen_cp.solver.plan import CHUNK, Store, Tiled
from nkigen_cp.solver.plan.layout import geometry, own_access, partition_window


def lower_load(
    b: Builder,
    source: Placement,
    target: Placement,
    window: Mapping[str, Range],
    loops: Sequence[Tiled] = (),
) -> None:
    """HBM -> SBUF, of a window of some factors or of everything, one DMA per block of ``loops``."""
    tensor, layout = target.tensor, target.layout
    assert layout is not None
    run = layout_run(tensor, layout)
    inner = {n: Range(size=tensor.factor(n).size) for n in layout.partition[1:]}
    box = Box(
        run=run,
        rows=run.partitions if not run.digits else 1,
        ranges={**own_ranges(tensor, layout), **inner, **window},
        order=(CHUNK, *(f.name for f in geometry(tensor, layout).free)),
    )
    access = own_access(tensor, layout.fixed)
    size = tensor.factor(layout.partition[0]).size if layout.partition else 1
    row = _row(source, access, box)
    for part in _pieces(_Blocks(b, box, size, layout.block, 0, row, loops)):
        b.emit(
            "dma_copy",
            "dma",
            {"dst": view(target, access, part), "src": view(source, access, part)},
            note=f"load {tensor.name}",
        )


def lower_store(b: Builder, source: Placement, target: Placement, spec: Store) -> None:
    """SBUF or HBM -> HBM through index maps."""
    for box in transfer_boxes(b, source, target, spec):
        b.emit(
            "dma_copy",
            "dma",
            {"dst": view(target, spec.target, box), "src": view(source, spec.source, box)},
            note=f"store {target.tensor.name}",
        )


def transfer_boxes(b: Builder, source: Placement, target: Placement, spec: Store) -> Iterator[Box]:
    """What single DMAs between a form and HBM take, whichever way they go."""
    ranges = {d: Range(size=n) for d, n in spec.digits.items()}
    if source.layout is None:
        yield Box(ranges=ranges, order=spec.target.digits)
        return
    tensor, layout = source.tensor, source.layout
    window = partition_window(tensor, layout, spec.source, spec.digits)
    digit = {f.name: i.digit for f, i in zip(tensor.factors, spec.source.index, strict=True)}
    apart = (*window.walked, *window.run.digits)
    free = [d for f in geometry(tensor, layout).free if (d := digit[f.name]) is not None]
    repeated = [d for d in spec.target.digits if d not in free and d not in apart]
    box = Box(run=window.run, ranges=ranges, order=(*repeated, CHUNK, *free))
    size = spec.digits[window.run.digits[0]] if window.run.digits else 1
    row = _row(target, spec.target, box)
    blocks = _Blocks(b, box, size, window.run.block, window.offset, row, spec.loops)
    for at in itertools.product(*(range(spec.digits[d]) for d in window.walked)):
        starts = zip(window.walked, at, strict=True)
        single = {d: Range(start=Affine(const=k), size=1) for d, k in starts}
        yield from _pieces(replace(blocks, box=replace(box, ranges={**ranges, **single})))


@dataclass(frozen=True, slots=True)
class _Row:
    """Where the run's outermost digit lies in HBM."""

    size: int
    offset: int
    step: int


def _row(place: Placement, access: Access, box: Box) -> _Row | None:
    joined = [n for j in place.joints for n in j.factors]
    names = (f.name for f in place.tensor.factors)
    for name, (size, index) in zip(names, place.in_buffer(access), strict=True):
        if box.run.digits and index.digit == box.run.digits[0] and name not in joined:
            return _Row(size, index.offset, index.step)
    return None


@dataclass(frozen=True, slots=True)
class _Blocks:
    """``size`` positions of the run's outermost digit; position 0 is ``offset`` in the form.

    A DMA takes one block of each of the ``loops``.
    """

    b: Builder
    box: Box
    size: int
    block: int
    offset: int
    row: _Row | None
    loops: Sequence[Tiled]


def _pieces(blocks: _Blocks) -> Iterator[Box]:
    """The boxes of all DMAs, chunks outermost."""
    inner = [t for t in blocks.loops if t.digit != CHUNK]
    for part in _parts(blocks):
        yield from _cut(blocks.b, part, inner)


def _cut(b: Builder, box: Box, loops: Sequence[Tiled]) -> Iterator[Box]:
    """Blocks of the digits, the first one outermost."""
    if not loops:
        yield box
        return
    digit, whole = loops[0].digit, box.ranges[loops[0].digit]
    for r in b.tiles(digit.split("#", maxsplit=1)[0], whole.size, loops[0].block):
        one = Range(start=whole.start + r.start, size=r.size)
        yield from _cut(b, replace(box, ranges={**box.ranges, digit: one}), loops[1:])


def _parts(blocks: _Blocks) -> Iterator[Box]:
    """Boxes that end with the form's chunks: a head, full ones at once or in a loop, a tail."""
    box, block = blocks.box, blocks.block
    if not box.run.digits:
        yield box
        return
    head = min(-blocks.offset % block, blocks.size)
    if head:
        yield replace(box, rows=head)
    full, tail = divmod(blocks.size - head, block)
    together = next((t.block for t in blocks.loops if t.digit == CHUNK), max(1, full))
    for r in blocks.b.tiles("chunk", full, together if _splits(blocks, head) else 1):
        yield replace(box, start=r.start * block + head, rows=block, chunks=r.size)
    if tail:
        yield replace(box, start=Affine(const=head + full * block), rows=tail)


def _splits(blocks: _Blocks, head: int) -> bool:
    """Whether HBM can be indexed as (chunk, position) there."""
    row = blocks.row
    return (
        row is not None
        and row.step == 1
        and row.size % blocks.block == 0
        and (row.offset + head) % blocks.block == 0
    )
