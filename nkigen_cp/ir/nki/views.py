"""Facts of a view: strides, merged free dims, contiguous runs, and its numpy counterpart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nkigen_cp.errors import SimulationError
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Kept, View
from nkigen_cp.ir.nki.numeric import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Dim:
    """One dim of an access pattern: ``size`` positions, ``stride`` elements apart."""

    stride: int
    size: int


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements between neighbours along each dim of a row-major array."""
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)


def dims(view: View) -> tuple[Dim, ...]:
    """Stride and size of every result dim; a repeated dim has stride 0.

    Strides are elements of the row-major indexed shape, also for the partition dim on chip.
    """
    strides = row_major(view.shape)
    return tuple(
        Dim(stride=strides[d.dim] * view.index[d.dim].step, size=view.index[d.dim].size)
        if isinstance(d, Kept)
        else Dim(stride=0, size=d.size)
        for d in view.dims
    )


def merge(pattern: Sequence[Dim]) -> tuple[Dim, ...]:
    """The same positions in the same order with the fewest dims.

    Dims of size 1 are dropped, an outer dim that continues its inner neighbour is joined to it.
    """
    merged: list[Dim] = []
    for dim in reversed(pattern):
        if dim.size == 1:
            continue
        if merged and dim.stride == merged[-1].stride * merged[-1].size:
            inner = merged[-1]
            merged[-1] = Dim(stride=inner.stride, size=inner.size * dim.size)
        else:
            merged.append(dim)
    return tuple(reversed(merged))


def free_dims(view: View) -> tuple[Dim, ...]:
    """Merged dims behind the first one: what one partition's access pattern needs."""
    return merge(dims(view)[1:])


def innermost_stride(view: View) -> int:
    """Elements between neighbours in the innermost merged free dim; 1 for a single element."""
    free = free_dims(view)
    return abs(free[-1].stride) if free else 1


def run_elements(view: View, *, on_chip: bool) -> int:
    """Elements that lie next to each other in memory: the most one DMA descriptor moves.

    On chip a run ends with its partition; in HBM it may span all dims.
    """
    pattern = free_dims(view) if on_chip else merge(dims(view))
    return pattern[-1].size if pattern and pattern[-1].stride == 1 else 1


def start_partition(view: View, buffer: Buffer) -> Affine:
    """First partition the on-chip view touches; a buffer without address starts at 0."""
    return view.index[0].start + (buffer.address.partition if buffer.address else 0)


def free_offset(view: View) -> Affine:
    """Elements between the start of a partition of the buffer and the view's lowest element."""
    offset = Affine()
    for index, stride in zip(view.index[1:], row_major(view.shape)[1:], strict=True):
        offset = offset + (index.start + index.lowest) * stride
    return offset


def free_span(view: View) -> int:
    """Elements from the first to the last one within a partition, both included."""
    return 1 + sum(abs(d.stride) * (d.size - 1) for d in dims(view)[1:])


def select(array: Array, view: View, env: Mapping[str, int]) -> Array:
    """The elements the view addresses, as a numpy view of ``array`` in result order.

    ``array`` is the whole buffer, contiguous; ``env`` holds the loop variables.

    Raises:
        SimulationError: the view leaves the buffer.
    """
    kept = [d.dim for d in view.dims if isinstance(d, Kept)]
    key: list[int | slice] = []
    for d, (index, size) in enumerate(zip(view.index, view.shape, strict=True)):
        start = index.start.value(env)
        low, high = start + index.lowest, start + index.highest
        if low < 0 or high >= size:
            raise SimulationError(
                f"the view of {view.buffer!r} addresses {low}..{high} of dim {d}, "
                f"which has positions 0..{size - 1}"
            )
        stop = high + 1 if index.step > 0 else low - 1
        key.append(slice(start, stop if stop >= 0 else None, index.step) if d in kept else start)
    picked = array.reshape(view.shape)[tuple(key)]
    order = sorted(kept)
    if order != kept:
        picked = picked.transpose([order.index(d) for d in kept])
    if len(kept) < len(view.dims):
        holes = tuple(slice(None) if isinstance(d, Kept) else np.newaxis for d in view.dims)
        picked = np.broadcast_to(picked[holes], view.result_shape)
    return picked
