"""The checker's own view of layouts: shape and strides of a form, the layout an operand needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Access, FactorTensor
from nkigen_cp.solver.plan import Layout, Run
from nkigen_cp.solver.plan.layout import Fixed
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A tensor in a layout.

    ``free`` maps free factors to sizes, outermost first; strides are in elements of one partition.
    ``rest`` is what the last chunk has of the outermost partition factor if less than a block.
    """

    partitions: int
    inner: int
    chunks: int
    rest: int
    free: Mapping[str, int]
    strides: Mapping[str, int]
    chunk_stride: int
    bytes: int


def shape_of(tensor: FactorTensor, layout: Layout) -> Shape:
    """Shape of one copy of an on-chip form: (partitions, chunks, free factors not fixed)."""
    size = {f.name: f.size for f in tensor.factors}
    apart = (*layout.partition, *(f.factor for f in layout.fixed))
    free = [f.name for f in tensor.factors if f.name not in apart]
    if layout.free:
        free = list(layout.free)
    elif layout.partition and free and tensor.factors[-1].name in layout.partition:
        # No two neighbours in HBM share a partition, so the longest factor serves the engines.
        free.sort(key=max(free, key=size.__getitem__).__eq__)
    strides: dict[str, int] = {}
    step = 1
    for name in reversed(free):
        strides[name] = step
        step *= size[name]
    outer = size[layout.partition[0]] if layout.partition else 1
    block = layout.block if layout.partition else 1
    inner = math.prod(size[n] for n in layout.partition[1:])
    chunks = math.ceil(outer / block)
    return Shape(
        partitions=block * inner if layout.partition else layout.replicas,
        inner=inner,
        chunks=chunks,
        rest=outer % block,
        free={n: size[n] for n in free},
        strides=strides,
        chunk_stride=step if layout.partition else 0,
        bytes=math.ceil(chunks * step * tensor.dtype.size_bytes / 4) * 4,
    )


def blocks(size: int, block: int) -> Iterator[tuple[int, int]]:
    """(extent, times) of a dim walked in blocks: full ones, then what is left."""
    if size // block:
        yield block, size // block
    if size % block:
        yield size % block, 1


def on_partitions(run: Run, sizes: Mapping[str, int], target: Target) -> Iterator[str]:
    """A run fills whole blocks of its first digit, as many as the target has partitions for."""
    if run.digits:
        inner = math.prod(sizes[d] for d in run.digits[1:])
        if run.partitions != run.block * inner or not 1 <= run.block <= sizes[run.digits[0]]:
            yield f"has {run.partitions} partitions of blocks {run.block} x {inner}"
    if run.partitions > target.partitions:
        yield f"has {run.partitions} partitions, {target.name} has fewer"


def demanded(tensor: FactorTensor, access: Access, run: Run) -> Layout | str:
    """The layout in which ``run`` lies on the partitions of the operand, or why there is none.

    It holds one position of what loops count, wherever it lives.
    """
    place = {i.digit: (f, i) for f, i in zip(tensor.factors, access.index, strict=True) if i.digit}
    found = [place[d] for d in run.digits if d in place]
    fixed = tuple(
        Fixed(factor=f.name, loop=i.loop, offset=i.offset, step=i.step)
        for f, i in zip(tensor.factors, access.index, strict=True)
        if i.loop is not None
    )
    if not found:
        return Layout(replicas=run.partitions, fixed=fixed)
    if len(found) < len(run.digits):
        return f"only part of the partition digits {', '.join(run.digits)} addresses it"
    inner = run.partitions // run.block
    for factor, index in found[1:]:
        if index.offset or index.step != 1:
            return f"factor {factor.name} on the partitions is read in part"
    if inner != math.prod(f.size for f, _ in found[1:]):
        return "an inner partition factor is longer than the digit that runs along it"
    factor, index = found[0]
    if index.step != 1 or index.offset % run.block:
        return f"its window of {factor.name} does not start on a block of {run.block}"
    return Layout(partition=tuple(f.name for f, _ in found), block=run.block, fixed=fixed)


def satisfies(held: Layout, wanted: Layout) -> bool:
    """Whether a form in ``held`` has the arrangement that is needed, wherever it lives."""
    if wanted.partition:
        return (held.partition, held.block, held.free) == (wanted.partition, wanted.block, ())
    return not held.partition and held.replicas >= wanted.replicas


def merged_dims(pattern: Sequence[tuple[int, int]]) -> int:
    """Dims of an access pattern of (size, stride), outermost first, after merging neighbours."""
    dims: list[tuple[int, int]] = []
    for size, stride in pattern:
        if size == 1:
            continue
        if dims and dims[-1][1] == size * stride:
            dims[-1] = (dims[-1][0] * size, stride)
        else:
            dims.append((size, stride))
    return len(dims)


def digit_strides(tensor: FactorTensor, access: Access, shape: Shape, chunk: str) -> dict[str, int]:
    """Elements that a step of each free digit (and of ``chunk``) moves within a partition."""
    strides = {chunk: shape.chunk_stride}
    for factor, index in zip(tensor.factors, access.index, strict=True):
        if index.digit is not None and factor.name in shape.strides:
            strides[index.digit] = shape.strides[factor.name] * index.step
    return strides
