"""Regions: which blocks of a tensor, or of an op's iterations, have a property.

A region is a boolean array with a dim per dim of a tensor, or per axis of an op: of length 1 (all
positions alike), or with an element per block of 128 positions, or with one per position. None is
the empty region.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.ir.tensor.graph import Op, Operand

BLOCK = 128
"""Side of a block: what the Tensor engine's array holds."""

Region = NDArray[np.bool_]


def over_axes(
    op: Op, shape: Sequence[int], operand: Operand, region: Region | None
) -> Region | None:
    """A region of a tensor of ``shape`` that the op uses, over the op's axes.

    Of a dim that no axis runs along, only what holds all along it is told.
    """
    if region is None:
        return None
    axes = [_axis_of(op, operand, shape, d) for d in range(len(shape))]
    kept = [axis for axis in axes if axis is not None]
    whole = _every(region, [d for d, axis in enumerate(axes) if axis is None])
    lengths = dict(zip(kept, whole.shape, strict=True))
    inner = np.transpose(whole, sorted(range(len(kept)), key=kept.__getitem__))
    return _or_none(np.reshape(inner, [lengths.get(a, 1) for a in range(len(op.axes))]))


def over_dims(
    op: Op, shape: Sequence[int], operand: Operand, region: Region | None
) -> Region | None:
    """A region over the op's axes as one of a tensor of ``shape`` that it reads or writes."""
    if region is None:
        return None
    axes = [_axis_of(op, operand, shape, d) for d in range(len(shape))]
    kept = [axis for axis in axes if axis is not None]
    whole = _every(region, [a for a in range(len(op.axes)) if a not in kept])
    inner = np.transpose(whole, [sorted(kept).index(axis) for axis in kept])
    lengths = dict(zip(kept, inner.shape, strict=True))
    return _or_none(np.reshape(inner, [1 if a is None else lengths[a] for a in axes]))


def either(sizes: Sequence[int], regions: Iterable[Region | None]) -> Region | None:
    """What at least one of the regions over dims of these sizes holds."""
    found = [r for r in regions if r is not None]
    return _or_none(np.asarray(_stacked(sizes, found).any(axis=0))) if found else None


def both(sizes: Sequence[int], regions: Sequence[Region | None]) -> Region | None:
    """What all of the regions hold; of none at all, nothing."""
    found = [r for r in regions if r is not None]
    if not found or len(found) != len(regions):
        return None
    return _or_none(np.asarray(_stacked(sizes, found).all(axis=0)))


def share(sizes: Sequence[int], region: Region | None) -> float:
    """The share of all positions that the region holds, between 0 and 1."""
    if region is None:
        return 0.0
    weights = region.astype(np.float64)
    for d, size in enumerate(sizes):
        along = [-1 if d == other else 1 for other in range(len(sizes))]
        weights = weights * np.reshape(_widths(region.shape[d], size) / size, along)
    return float(np.sum(weights))


def _axis_of(op: Op, operand: Operand, shape: Sequence[int], d: int) -> int | None:
    """The axis that runs along dim ``d`` and nothing else of the operand; None if there is none."""
    dim = operand.index[d]
    if len(dim.terms) != 1 or dim.offset or dim.terms[0].stride != 1:
        return None
    axis = dim.terms[0].axis
    alone = sum(t.axis == axis for other in operand.index for t in other.terms) == 1
    return axis if alone and op.axes[axis].size == shape[d] else None


def _every(region: Region, dims: Sequence[int]) -> Region:
    """The region with dims left out: what holds all along them."""
    return np.asarray(region.all(axis=tuple(dims)))


def _stacked(sizes: Sequence[int], regions: Sequence[Region]) -> Region:
    """The regions in one shape; where one has blocks and one positions, all have positions."""
    lengths = [max(r.shape[d] for r in regions) for d in range(len(sizes))]
    return np.stack([np.broadcast_to(_finer(r, sizes, lengths), lengths) for r in regions])


def _finer(region: Region, sizes: Sequence[int], lengths: Sequence[int]) -> Region:
    for d, (size, length) in enumerate(zip(sizes, lengths, strict=True)):
        if region.shape[d] not in (1, length):
            region = np.repeat(region, _widths(region.shape[d], size), axis=d)
    return region


def _widths(length: int, size: int) -> NDArray[np.int64]:
    """How many positions of a dim each of the ``length`` entries of a region stands for."""
    width = size if length == 1 else 1 if length == size else BLOCK
    return np.minimum(width, size - width * np.arange(length))


def _or_none(region: Region) -> Region | None:
    return region if region.any() else None
