"""The boxes an instruction covers: extents per digit, views per operand, busy time of a cover."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.program import Access, FactorOp, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.plan import Cover, Slot
from nkigen_cp.solver.plan.layout import CHUNK, Geometry, Layout, Run, geometry
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """``times`` repetitions of an extent."""

    extent: int
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """One free dim of an access pattern."""

    size: int
    stride: int


def spans(size: int, block: int) -> list[Span]:
    """Full blocks and the remainder of a dim looped in blocks."""
    found = [Span(extent=block, times=size // block), Span(extent=size % block, times=1)]
    return [s for s in found if s.extent and s.times]


def runs(op: FactorOp, target: Target, tiles: Sequence[int] = ()) -> list[Run]:
    """Candidate sets of digits for the partitions: contiguous in the output, folded up to 128.

    A run is extended outwards while it fits; its outermost digit may be blocked. Others span as
    many partitions as ``tiles`` ask for.
    """
    sizes = {d.name: d.size for d in op.parallel if not d.whole}
    order = [d for d in op.output.digits if d in sizes]
    found = [r for n in (target.partitions, *tiles) for r in _folded(order, sizes, n)]
    return [*dict.fromkeys(found), Run()]


def _folded(order: Sequence[str], sizes: Mapping[str, int], partitions: int) -> Iterator[Run]:
    """Runs that span at most so many partitions."""
    for j in range(len(order)):
        inner = 1
        for i in range(j, -1, -1):
            block = min(sizes[order[i]], partitions // inner)
            if block > 1:
                digits = tuple(order[i : j + 1])
                yield Run(digits=digits, block=block, partitions=block * inner)
            inner *= sizes[order[i]]
            if inner >= partitions:
                break


def form_extents(
    tensor: FactorTensor, layout: Layout, access: Access, run: Run, order: Sequence[str]
) -> dict[str, int]:
    """Stride in elements of every digit in ``order`` (and CHUNK) within the form's free dim."""
    shape: Geometry = geometry(tensor, layout)
    stride: dict[str, int] = {}
    step = 1
    for factor in reversed(shape.free):
        stride[factor.name] = step
        step *= factor.size
    strides = dict.fromkeys(order, 0)
    for factor, index in zip(tensor.factors, access.index, strict=True):
        if index.digit is not None and index.digit in strides and factor.name in stride:
            strides[index.digit] = stride[factor.name] * index.step
    if layout.partition and CHUNK in strides and run.digits:
        strides[CHUNK] = step
    return strides


def merged(extents: Sequence[Extent]) -> list[Extent]:
    """Adjacent dims that one stride spans become one; size 1 dims vanish."""
    out: list[Extent] = []
    for e in extents:
        if e.size == 1:
            continue
        if out and out[-1].stride == e.size * e.stride:
            out[-1] = Extent(size=out[-1].size * e.size, stride=e.stride)
        else:
            out.append(e)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Where a slot's operand is and how its free digits are strided."""

    slot: Slot
    tensor: FactorTensor
    memory: Memory
    strides: Mapping[str, int]
    innermost_run: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Extents of one execution of a cover.

    ``order`` lists free digits outermost first, CHUNK included; ``looped`` are those that each
    instruction takes one position of.
    """

    partitions: Sequence[Span]  # partitions and how often
    order: tuple[str, ...]
    sizes: Mapping[str, Sequence[Span]]
    looped: tuple[str, ...]


def whole_box(op: FactorOp, run: Run, order: tuple[str, ...], looped: tuple[str, ...]) -> list[Box]:
    """The boxes that cover all of an op: full chunks, then the remainder of a blocked run."""
    sizes = {d.name: [Span(extent=d.size, times=1)] for d in op.digits if d.name in order}
    if not run.digits:
        sizes[CHUNK] = [Span(extent=1, times=1)]
        return [Box(partitions=[Span(extent=1, times=1)], order=order, sizes=sizes, looped=looped)]
    inner = run.partitions // run.block
    boxes: list[Box] = []
    for span in spans(op.size(run.digits[0]), run.block):
        chunk = {**sizes, CHUNK: [Span(extent=span.times, times=1)]}
        parts = [Span(extent=span.extent * inner, times=1)]
        boxes.append(Box(partitions=parts, order=order, sizes=chunk, looped=looped))
    return boxes


def needs_loops(held: Sequence[Held], box: Box, limit: int) -> tuple[str, ...]:
    """The outermost free digits that must be looped so that no access pattern exceeds ``limit``."""
    extra: list[str] = []
    free = [d for d in box.order if d not in box.looped]
    while free and any(
        len(merged([Extent(size=box.sizes[d][0].extent, stride=h.strides[d]) for d in free]))
        > limit
        for h in held
    ):
        extra.append(free.pop(0))
    return tuple(extra)


def box_busy_ns(
    target: Target, cover: Cover, engine: str, held: Sequence[Held], box: Box
) -> tuple[float, int]:
    """Busy time and number of instructions of a cover over a box."""
    repeats = math.prod(
        sum(s.extent * s.times for s in box.sizes[d]) for d in box.order if d in box.looped
    )
    free = [d for d in box.order if d not in box.looped]
    total, count = 0.0, 0
    for part in box.partitions:
        for combo in itertools.product(*(box.sizes[d] for d in free)):
            times = repeats * part.times * math.prod(s.times for s in combo)
            extents = {d: s.extent for d, s in zip(free, combo, strict=True)}
            shapes = {h.slot.name: _shape(h, cover, extents, part.extent) for h in held}
            op = str(cover.params.get("op", "add"))
            total += times * busy_ns(target, cover.instruction, engine, shapes, op=op)
            count += times
    return total, count


def _shape(held: Held, cover: Cover, extents: Mapping[str, int], partitions: int) -> OperandShape:
    spanned = cover.spanned(held.slot, [*extents])
    free = {d: n for d, n in extents.items() if n > 1 and d in spanned}
    indexed = [held.strides[d] for d in free if held.strides[d]]
    return OperandShape(
        memory=held.memory,
        dtype=FLOAT32 if held.memory is Memory.PSUM else held.tensor.dtype,
        partitions=partitions,
        free_size=math.prod(free.values()),
        innermost_stride=abs(indexed[-1]) if indexed else 1,
    )
