"""Functions that move data and are made of slices, copies and concatenations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError, UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.indexing import getitem
from nkigen_cp.frontend.joining import concatenate, split
from nkigen_cp.frontend.operands import (
    along,
    as_tensor,
    builder_of,
    copy,
    normalize_axes,
    normalize_axis,
)
from nkigen_cp.frontend.shape import as_shape, ravel, reshape, transpose
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, Term

PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _at(dim: int, part: object) -> tuple[object, ...]:
    """The subscript that takes ``part`` of one dim and all of the others."""
    return (*(slice(None),) * dim, part, ...)


def flip(m: TracedTensor, axis: Any = None) -> TracedTensor:
    """Dims in reverse order; all of them by default."""
    for dim in normalize_axes(axis, m.ndim):
        m = getitem(m, _at(dim, slice(None, None, -1)))
    return m


def flipud(m: TracedTensor) -> TracedTensor:
    """Rows in reverse order."""
    return flip(m, 0)


def fliplr(m: TracedTensor) -> TracedTensor:
    """Columns in reverse order."""
    return flip(m, 1)


def roll(a: TracedTensor, shift: Any, axis: Any = None) -> TracedTensor:
    """Elements moved along dims, those beyond the end coming in at the start.

    Raises:
        ShapeError: an axis is out of bounds, or there are not as many shifts as axes.
    """
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    axes = cast("Sequence[Any]", axis) if isinstance(axis, (tuple, list)) else (axis,)
    dims = [normalize_axis(d, a.ndim) for d in axes]
    shifts = cast("Sequence[Any]", shift) if isinstance(shift, (tuple, list)) else [shift]
    if len(shifts) != len(dims):
        if len(shifts) != 1:
            raise located(ShapeError, f"roll: {len(shifts)} shifts for {len(dims)} axes")
        shifts = [*shifts] * len(dims)
    for dim, by in zip(dims, shifts, strict=True):
        cut = -operator.index(by) % max(1, a.shape[dim])
        if cut:
            parts = (slice(cut, None), slice(None, cut))
            a = concatenate([getitem(a, _at(dim, p)) for p in parts], axis=dim)
    return a


def tile(A: TracedTensor, reps: Any) -> TracedTensor:  # noqa: N803 (numpy's name)
    """The tensor repeated as a whole along every dim."""
    given = as_shape(reps)
    rank = max(len(given), A.ndim)
    counts = (1,) * (rank - len(given)) + given
    shape = (1,) * (rank - A.ndim) + A.shape
    a = reshape(A, shape)
    sizes = [s for pair in zip(counts, shape, strict=True) for s in pair]
    read = tuple(along(2 * d + 1) for d in range(rank))
    write = tuple(
        DimIndex(terms=(Term(axis=2 * d, stride=shape[d]), Term(axis=2 * d + 1)))
        for d in range(rank)
    )
    if all(c == 1 for c in counts):
        return a
    return copy(a, sizes, read, tuple(c * s for c, s in zip(counts, shape, strict=True)), write)


def array_split(ary: TracedTensor, indices_or_sections: Any, axis: Any = 0) -> list[TracedTensor]:
    """As ``split``; sections need not be equal, the first ones take what is left over.

    Raises:
        ShapeError: fewer than one section, or the axis is out of bounds.
    """
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)):
        return split(ary, indices_or_sections, axis)
    sections = operator.index(indices_or_sections)
    if sections <= 0:
        raise located(
            ShapeError, f"array_split: number of sections {sections} must be larger than 0"
        )
    each, more = divmod(ary.shape[normalize_axis(axis, ary.ndim)], sections)
    sizes = [each + 1] * more + [each] * (sections - more)
    cuts = [sum(sizes[:i]) for i in range(1, sections)]
    return split(ary, cuts, axis)


def _at_least(arrays: Sequence[object], rank: int) -> list[TracedTensor]:
    builder = builder_of(arrays)
    tensors = [as_tensor(builder, a) for a in arrays]
    return [reshape(t, (1,) * (rank - t.ndim) + t.shape) for t in tensors]


def hstack(tup: Sequence[object], *, dtype: object = None) -> TracedTensor:
    """Joined along the second dim; vectors along their only one."""
    tensors = _at_least(tup, 1)
    return concatenate(tensors, axis=0 if tensors[0].ndim == 1 else 1, dtype=dtype)


def vstack(tup: Sequence[object], *, dtype: object = None) -> TracedTensor:
    """Joined along the first dim; vectors are rows."""
    return concatenate(_at_least(tup, 2), axis=0, dtype=dtype)


def diff(
    a: object, n: int = 1, axis: Any = -1, prepend: object = None, append: object = None
) -> TracedTensor:
    """Differences of neighbours along a dim, ``n`` times."""
    builder = builder_of((a, prepend, append))
    x = as_tensor(builder, a)
    dim = normalize_axis(axis, x.ndim)
    ends = [_end(x, end, dim) if end is not None else None for end in (prepend, append)]
    pieces = [p for p in (ends[0], x, ends[1]) if p is not None]
    x = concatenate(pieces, axis=dim) if len(pieces) > 1 else x
    for _ in range(operator.index(n)):
        later, sooner = getitem(x, _at(dim, slice(1, None))), getitem(x, _at(dim, slice(None, -1)))
        kind = "not_equal" if x.element.kind == "bool" else "subtract"
        x = elementwise(kind, later, sooner)
    return x


def _end(x: TracedTensor, end: object, dim: int) -> TracedTensor:
    """What is put before or behind; a number fills one position."""
    if isinstance(end, TracedTensor) or np.ndim(cast("Any", end)):
        return as_tensor(x.builder, end)
    shape = (*x.shape[:dim], 1, *x.shape[dim + 1 :])
    return x.builder.constant(np.full(shape, cast("Any", end), x.element.numpy))


def pad(
    array: TracedTensor, pad_width: Any, mode: str = "constant", constant_values: Any = 0
) -> TracedTensor:
    """The tensor with more positions around it.

    Raises:
        UnsupportedError: the mode is none of ``PAD_MODES``.
        ShapeError: a width is negative, or wider than ``reflect`` or ``wrap`` can fill.
    """
    if mode not in PAD_MODES:
        raise located(
            UnsupportedError, f"pad: mode {mode!r} is not supported; modes: {', '.join(PAD_MODES)}"
        )
    shape = (array.ndim, 2)
    widths = np.broadcast_to(np.asarray(pad_width), shape).tolist()
    values = np.broadcast_to(np.asarray(constant_values), shape)
    if any(w < 0 for pair in widths for w in pair):
        raise located(ShapeError, f"pad: widths {widths} must not be negative")
    for dim, (before, after) in enumerate(widths):
        if mode == "constant":
            low, high = (
                _filled(array, dim, w, v) for w, v in zip((before, after), values[dim], strict=True)
            )
        else:
            low = _mirrored(array, dim, before, mode, first=True)
            high = _mirrored(array, dim, after, mode, first=False)
        pieces = [p for p in (low, array, high) if p.shape[dim]]
        array = concatenate(pieces, axis=dim) if len(pieces) > 1 else array
    return array


def _filled(x: TracedTensor, dim: int, width: int, value: Any) -> TracedTensor:
    shape = (*x.shape[:dim], width, *x.shape[dim + 1 :])
    return x.builder.constant(np.full(shape, value).astype(x.element.numpy))


def _mirrored(x: TracedTensor, dim: int, width: int, mode: str, *, first: bool) -> TracedTensor:
    """What ``mode`` puts before the first (behind the last) position of a dim."""
    size = x.shape[dim]
    skip = 1 if mode == "reflect" else 0
    if mode != "edge" and width > size - skip:
        raise located(
            ShapeError,
            f"pad: mode {mode!r} can put at most {size - skip} positions beside dim {dim} of size "
            f"{size}, not {width}",
        )
    if mode == "edge":
        at = 0 if first else size - 1
        return getitem(x, _at(dim, np.full(width, at)))
    if mode == "wrap":
        return getitem(x, _at(dim, slice(size - width, size) if first else slice(0, width)))
    near = range(skip, skip + width) if first else range(size - skip - width, size - skip)
    return flip(getitem(x, _at(dim, slice(near.start, near.stop))), dim)


def diagonal(a: TracedTensor, offset: int = 0, axis1: Any = 0, axis2: Any = 1) -> TracedTensor:
    """The elements at equal positions of two dims, along a new last dim.

    Raises:
        ShapeError: an axis is out of bounds, or both are one.
    """
    first, second = normalize_axes((axis1, axis2), a.ndim)
    rows, columns = a.shape[first], a.shape[second]
    length = max(0, min(rows - max(0, -offset), columns - max(0, offset)))
    start = max(0, -offset) * columns + max(0, offset)
    # In a row-major matrix the diagonal is a row of steps one longer than the matrix is wide.
    others = [d for d in range(a.ndim) if d not in (first, second)]
    turned = transpose(a, [*others, first, second])
    flat = reshape(turned, (*turned.shape[:-2], rows * columns))
    return getitem(flat, (..., slice(start, start + length * (columns + 1), columns + 1)))


def tril(m: TracedTensor, k: int = 0) -> TracedTensor:
    """The tensor with zeros above the k-th diagonal of its last two dims."""
    return _masked(m, np.tri(*m.shape[-2:], k=k, dtype=bool))


def triu(m: TracedTensor, k: int = 0) -> TracedTensor:
    """The tensor with zeros below the k-th diagonal of its last two dims."""
    return _masked(m, ~np.tri(*m.shape[-2:], k=k - 1, dtype=bool))


def _masked(m: TracedTensor, mask: Any) -> TracedTensor:
    return elementwise("select", m.builder.constant(mask), m, 0)


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.flip: flip,
    np.flipud: flipud,
    np.fliplr: fliplr,
    np.roll: roll,
    np.tile: tile,
    np.array_split: array_split,
    np.hstack: hstack,
    np.vstack: vstack,
    np.diff: diff,
    cast("Any", np).pad: pad,
    np.diagonal: diagonal,
    np.tril: tril,
    np.triu: triu,
}

VIEWS: tuple[Callable[..., Any], ...] = (np.flip, np.flipud, np.fliplr, np.array_split)
"""What gives views of its argument."""
