"""The one mechanism of addressing.

A placement maps factors to dims of a buffer, a box says which positions of each digit are meant,
and the view follows from an access. Nothing else computes offsets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorTensor
from nkigen_cp.ir.factor.windows import Joint
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Index, Kept, LoopTerm, Repeat, View
from nkigen_cp.lowering.builder import ZERO, Range
from nkigen_cp.solver.plan import CHUNK
from nkigen_cp.solver.plan.layout import Layout, Run, geometry

PICKED = "#picked"
"""What counts the positions of a dim that data addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedDim:
    """A free dim of a buffer: the factor it holds (or CHUNK), from position ``base`` on."""

    factor: str
    size: int
    base: Affine = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a factor of a window lies in the factor of the whole that it is cut from."""

    size: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A buffer and what its dims hold; ``layout`` None means HBM in row-major order.

    ``homes`` places the windowed factors of a tensor that is part of a larger HBM buffer, except
    those of its ``joints``; ``at`` is where the loops around the current step are.
    """

    buffer: Buffer
    tensor: FactorTensor
    layout: Layout | None
    dims: tuple[PlacedDim, ...] = ()
    homes: Mapping[str, Home] = field(default_factory=dict[str, Home])
    joints: tuple[Joint, ...] = ()
    at: Mapping[str, Affine] = field(default_factory=dict[str, Affine])

    def position(self, index: FactorIndex) -> Affine:
        """Where an index is that no digit moves."""
        fixed = Affine(const=index.offset)
        return fixed if index.loop is None else fixed + self.at[index.loop] * index.step

    def in_buffer(self, access: Access) -> list[tuple[int, FactorIndex]]:
        """Size and index of every factor as the HBM buffer has them."""
        found: list[tuple[int, FactorIndex]] = []
        for factor, index in zip(self.tensor.factors, access.index, strict=True):
            home = self.homes.get(factor.name, Home(size=factor.size, offset=0))
            found.append((home.size, replace(index, offset=index.offset + home.offset)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What one instruction addresses.

    ``rows`` positions of the run's outermost digit lie on the partitions, from ``start`` on, in
    ``chunks`` chunks. ``ranges`` gives every other digit's positions, inner digits of the run may
    be left out where they are whole; ``order`` lists the free dims of the view.
    """

    run: Run = field(default_factory=Run)
    rows: int = 1
    start: Affine = ZERO
    chunks: int = 1
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    order: tuple[str, ...] = ()

    @property
    def partitions(self) -> int:
        return self.rows * (self.run.partitions // self.run.block if self.run.digits else 1)


def divided(value: Affine, by: int) -> Affine:
    """Exact division of an affine value."""
    terms = tuple(LoopTerm(var=t.var, stride=t.stride // by) for t in value.terms)
    assert value.const % by == 0
    assert all(t.stride % by == 0 for t in value.terms)
    return Affine(const=value.const // by, terms=terms)


def form_dims(
    tensor: FactorTensor, layout: Layout, windows: Mapping[str, PlacedDim]
) -> tuple[PlacedDim, ...]:
    """Free dims of a form, some factors replaced by windows of themselves."""
    shape = geometry(tensor, layout)
    dims = [PlacedDim(factor=CHUNK, size=shape.chunks)] if shape.chunks > 1 else []
    dims += [windows.get(f.name, PlacedDim(factor=f.name, size=f.size)) for f in shape.free]
    return tuple(dims)


def buffer_shape(partitions: int, dims: Sequence[PlacedDim]) -> tuple[int, ...]:
    """Shape of an on-chip buffer: at least two dims."""
    return (partitions, *(d.size for d in dims)) if dims else (partitions, 1)


def view(place: Placement, access: Access, box: Box) -> View:
    """The view of an operand for a box."""
    return _hbm_view(place, access, box) if place.layout is None else _chip_view(place, access, box)


def _position(place: Placement, index: FactorIndex, box: Box) -> Index:
    """Positions along a free factor."""
    if index.picked:
        return Index(start=place.position(index), size=index.picked)
    if index.digit is None:
        return Index(start=place.position(index), size=1)
    r = box.ranges[index.digit]
    start = r.start * index.step + index.offset
    if index.slide is not None:
        start = start + box.ranges[index.slide.digit].start * index.slide.step
    return Index(start=start, size=r.size, step=index.step)


def _first(place: Placement, index: FactorIndex, box: Box) -> Affine:
    """The first position along a partition factor."""
    if index.digit is None:
        return place.position(index)
    if index.digit == (box.run.digits or (None,))[0]:
        return box.start * index.step + index.offset
    r = box.ranges.get(index.digit)
    return (r.start if r is not None else ZERO) * index.step + index.offset


def _on_partitions(
    place: Placement, by_factor: Mapping[str, FactorIndex], box: Box
) -> tuple[Affine, Affine]:
    """First partition and first chunk; rows within a chunk never depend on a loop."""
    layout = place.layout
    if layout is None or not layout.partition:
        return ZERO, ZERO
    start, inner = ZERO, 1
    for name in reversed(layout.partition[1:]):
        start = start + _first(place, by_factor[name], box) * inner
        inner *= place.tensor.factor(name).size
    outer = _first(place, by_factor[layout.partition[0]], box)
    row = outer.const % layout.block
    return start + row * inner, divided(outer + -row, layout.block)


def _chip_view(place: Placement, access: Access, box: Box) -> View:
    by_factor = dict(zip((f.name for f in place.tensor.factors), access.index, strict=True))
    first, chunk = _on_partitions(place, by_factor, box)
    indices = [Index(start=first, size=box.partitions)]
    dim_of: dict[str, int] = {}
    for k, dim in enumerate(place.dims, 1):
        if dim.factor == CHUNK:
            indices.append(Index(start=chunk + dim.base * -1, size=box.chunks))
            dim_of[CHUNK] = k
            continue
        index = by_factor[dim.factor]
        found = _position(place, index, box)
        indices.append(Index(start=found.start + dim.base * -1, size=found.size, step=found.step))
        if index.digit is not None:
            dim_of[index.digit] = k
        elif index.picked:
            dim_of[PICKED] = k
    shape = place.buffer.shape
    if not place.dims:
        indices.append(Index(size=1))
    dims: list[Kept | Repeat] = [Kept(dim=0)]
    sizes = {CHUNK: box.chunks} | {d: box.ranges[d].size for d in box.order if d != CHUNK}
    for d in box.order:
        if sizes[d] > 1:
            dims.append(Kept(dim=dim_of[d]) if d in dim_of else Repeat(size=sizes[d]))
    if len(dims) == 1:
        dims.append(Kept(dim=len(shape) - 1))
    return View(buffer=place.buffer.name, shape=shape, index=tuple(indices), dims=tuple(dims))


def _hbm_view(place: Placement, access: Access, box: Box) -> View:
    """HBM is indexed factor by factor; the outermost partition factor splits into chunk and row.

    All positions that data may pick are the first dim.
    """
    shape: list[int] = []
    indices: list[Index] = []
    dim_of: dict[str, int] = {}
    outer = box.run.digits[0] if box.run.digits else None
    joints = {j.dim: j for j in place.joints}
    spots = iter(place.in_buffer(access))
    for d, factors in enumerate(place.tensor.dims):
        own = [next(spots) for _ in factors]
        if any(index.picked for _, index in own):
            dim_of[PICKED] = len(shape)
            size, found = _picked(own)
            shape.append(size)
            indices.append(found)
            continue
        if d in joints:
            found, along = _joined(place, joints[d], access, box)
            dim_of |= {along: len(shape)} if along is not None else {}
            shape.append(joints[d].size)
            indices.append(found)
            continue
        for size, index in own:
            if index.digit is not None and index.digit == outer:
                _split_outer(shape, indices, dim_of, size, index, box)
                continue
            if index.digit is not None:
                dim_of[index.digit] = len(shape)
            shape.append(size)
            indices.append(_position(place, index, box))
    if not shape:
        shape, indices = [*place.buffer.shape], [Index(size=1) for _ in place.buffer.shape]
    dims: list[Kept | Repeat] = [Kept(dim=dim_of[PICKED])] if PICKED in dim_of else []
    for d in (*box.run.digits, *box.order):
        size = indices[dim_of[d]].size if d in dim_of else _digit_size(d, box)
        if size > 1:
            dims.append(Kept(dim=dim_of[d]) if d in dim_of else Repeat(size=size))
    if not dims:
        dims.append(Kept(dim=len(shape) - 1))
    return View(
        buffer=place.buffer.name, shape=tuple(shape), index=tuple(indices), dims=tuple(dims)
    )


def _picked(own: Sequence[tuple[int, FactorIndex]]) -> tuple[int, Index]:
    """Size of a dim in HBM, and the positions along it of which data picks."""
    sizes = [size for size, _ in own]
    strides = [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]
    start = sum(i.offset * stride for (_, i), stride in zip(own, strides, strict=True))
    count = next(i.picked for _, i in own if i.picked)
    return math.prod(sizes), Index(start=Affine(const=start), size=count)


def _joined(place: Placement, joint: Joint, access: Access, box: Box) -> tuple[Index, str | None]:
    """Where several factors are in their one dim, and the only digit that moves along it."""
    by_factor = dict(zip((f.name for f in place.tensor.factors), access.index, strict=True))
    start, size, step, along = Affine(const=joint.offset), 1, 1, None
    for name, stride in zip(joint.factors, joint.strides, strict=True):
        index = by_factor[name]
        if index.digit is not None and index.digit == (box.run.digits or (None,))[0]:
            assert box.chunks == 1
            found = Index(start=_first(place, index, box), size=box.rows, step=index.step)
        else:
            found = _position(place, index, box)
        start = start + found.start * stride
        if found.size > 1:
            assert along is None
            size, step, along = found.size, found.step * stride, index.digit
    return Index(start=start, size=size, step=step), along


def _digit_size(digit: str, box: Box) -> int:
    if digit == CHUNK:
        return box.chunks
    return box.ranges[digit].size if digit in box.ranges else 1


def _split_outer(
    shape: list[int],
    indices: list[Index],
    dim_of: dict[str, int],
    size: int,
    index: FactorIndex,
    box: Box,
) -> None:
    assert index.digit is not None
    start = box.start * index.step + index.offset
    if box.chunks > 1:
        block = box.run.block
        assert size % block == 0
        assert index.step == 1
        dim_of[CHUNK] = len(shape)
        shape.append(size // block)
        indices.append(Index(start=divided(start, block), size=box.chunks))
        dim_of[index.digit] = len(shape)
        shape.append(block)
        indices.append(Index(size=box.rows))
        return
    dim_of[index.digit] = len(shape)
    shape.append(size)
    indices.append(Index(start=start, size=box.rows, step=index.step))


def pieces(size: int, run: Run) -> list[tuple[int, int, int]]:
    """(first chunk, chunks, rows) of a blocked digit: full chunks, then the remainder."""
    if not run.digits:
        return [(0, 1, 1)]
    full, rest = divmod(size, run.block)
    found = [(0, full, run.block)] if full else []
    return found + ([(full, 1, rest)] if rest else [])


def layout_run(tensor: FactorTensor, layout: Layout) -> Run:
    """The run of an op whose digits are the tensor's own factors."""
    inner = math.prod(tensor.factor(n).size for n in layout.partition[1:])
    if not layout.partition:
        return Run(partitions=layout.replicas)
    return Run(digits=layout.partition, block=layout.block, partitions=layout.block * inner)


def window_homes(
    tensor: FactorTensor, whole: Sequence[int], offsets: Sequence[int]
) -> dict[str, Home]:
    """Homes of a window's factors: the outermost factor of every dim reaches into the whole."""
    homes: dict[str, Home] = {}
    for factors, size, offset in zip(tensor.dims, whole, offsets, strict=True):
        if factors:
            inner = math.prod(f.size for f in factors[1:])
            homes[factors[0].name] = Home(size=size // inner, offset=offset // inner)
    return homes


def own_ranges(tensor: FactorTensor, layout: Layout) -> dict[str, Range]:
    """All positions of every factor in the free dim."""
    return {f.name: Range(size=f.size) for f in geometry(tensor, layout).free}


def whole(buffer: Buffer) -> View:
    """All of a buffer."""
    return View(
        buffer=buffer.name,
        shape=buffer.shape,
        index=tuple(Index(size=n) for n in buffer.shape),
        dims=tuple(Kept(dim=k) for k in range(len(buffer.shape))),
    )
