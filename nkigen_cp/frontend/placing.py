"""Values written to positions that an index names row by row, or among all elements in a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nkigen_cp.errors import IndexUnsupportedError, ShapeError, UnsupportedError
from nkigen_cp.frontend.blocks import LONGEST, end_to_end
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import where
from nkigen_cp.frontend.gathering import positions, scatter, take_along_axis
from nkigen_cp.frontend.operands import (
    as_array,
    as_tensor,
    broadcast_shape,
    cast_to,
    normalize_axis,
)
from nkigen_cp.frontend.rowwise import call, made_of_rows, whole_as
from nkigen_cp.frontend.shape import broadcast_to
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.frontend.writing import setitem
from nkigen_cp.ir.dtypes import FLOAT32, INT32
from nkigen_cp.ir.tensor.graph import Array

FEW = 8
"""Indices of a row up to which every position of the row is compared with each of them."""

WINDOW = 2048
"""Positions of a row that are searched for at a time: so many of them fit SBUF."""


def placed(rows: Any, index: Any, values: Any) -> Any:
    """(..., N) rows with (..., K) values at (..., K) positions of each; of equal ones the last."""
    size, count = rows.shape[-1], index.shape[-1]
    if not rows.size or not index.size:
        return rows
    if size == 1:
        return values[..., -1:]
    at = positions(index, size)
    if count <= FEW:
        return _compared(rows, at, values)
    if math.prod(rows.shape[:-1]) == 1 and (8 * count <= size or size > LONGEST):
        flat = scatter(rows.reshape(-1), 0, at.reshape(-1), values.reshape(-1))
        return flat.reshape(rows.shape)
    for start in range(0, count, LONGEST):
        part = slice(start, start + LONGEST)
        rows = _searched(rows, cast_to(at, FLOAT32)[..., part], values[..., part])
    return rows


def _compared(rows: Any, at: Any, values: Any) -> Any:
    """One choice per index between what the row has and the value for it."""
    every = np.arange(rows.shape[-1], dtype=np.int32)
    for k in range(at.shape[-1]):
        rows = where(np.equal(at[..., k : k + 1], every), values[..., k : k + 1], rows)
    return rows


def _searched(rows: Any, at: Any, values: Any) -> Any:
    """Every position looks for the last index that names it, and takes its value if there is one.

    Read backwards the last one is the first, which is the one that a search finds.
    """
    size, count = rows.shape[-1], at.shape[-1]
    backwards, given = at[..., ::-1], values[..., ::-1]
    parts: list[Any] = []
    for start in range(0, size, WINDOW):
        every = np.arange(start, min(size, start + WINDOW), dtype=np.float32)
        wanted = at.builder.constant(every if every.size > 1 else np.repeat(every, 2))
        found = made_of_rows("find", backwards, wanted.size, (wanted,))[..., : every.size]
        place: Any = cast_to(found, FLOAT32)
        nearest = whole_as(np.minimum(place, count - 1), INT32)
        value = take_along_axis(given, nearest, -1)
        old = rows[..., start : start + every.size]
        parts.append(where(np.less(place, count), value, old))
    return end_to_end(parts)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    """Values written along one axis to the positions that ``indices`` names; the last one wins.

    Traced indices must be in bounds: others are ignored.

    Raises:
        ShapeError: the shapes have different ranks or do not broadcast.
        IndexUnsupportedError: the indices do not hold integers.
        UnsupportedError: ``arr`` is an array from outside of the traced function.
    """
    target = _written("put_along_axis", arr)
    if axis is None:
        _put_flat(target, indices, values)
        return
    dim = normalize_axis(axis, target.ndim)
    if np.ndim(indices) != target.ndim:
        raise located(
            ShapeError,
            f"put_along_axis: indices of {np.ndim(indices)} dims for a tensor of {target.ndim}; "
            "both must have the same number of dims",
        )
    known = _known(indices)
    if known is not None:
        setitem(target, _fancy(target.shape, known, dim), values)
        return
    around = (*target.shape[:dim], 1, *target.shape[dim + 1 :])
    sizes = broadcast_shape("put_along_axis", around, indices.shape)
    given = cast_to(as_tensor(target.builder, values), target.element)
    # Dims of which the array has one position are written once for each index along them.
    merged = [d for d, n in enumerate(around) if d == dim or n != sizes[d]]
    order = [*(d for d in range(target.ndim) if d not in merged), *merged]
    outer = tuple(around[d] for d in order if d not in merged)

    def in_rows(x: Any) -> Any:
        return call(np.reshape, call(np.transpose, x, order), (*outer, -1))

    rows = in_rows(target)
    index, given = broadcast_to(indices, sizes), broadcast_to(given, sizes)
    setitem(rows, ..., placed(rows, in_rows(index), in_rows(given)))


def _fancy(shape: tuple[int, ...], index: Any, dim: int) -> tuple[Any, ...]:
    """The subscript by arrays that means the index along one dim."""
    ndim = len(shape)
    arange: Any = np.arange
    return tuple(
        index if d == dim else arange(n).reshape([-1 if k == d else 1 for k in range(ndim)])
        for d, n in enumerate(shape)
    )


def _put_flat(target: TracedTensor, indices: Any, values: Any) -> None:
    """Write to positions of all elements in row-major order."""
    if np.ndim(indices) != 1:
        raise located(
            ShapeError,
            f"put_along_axis: with axis=None the indices have one dim, not {np.ndim(indices)}",
        )
    flat = call(np.copy, call(np.ravel, target))
    put_along_axis(flat, indices, values, 0)
    setitem(target, ..., call(np.reshape, flat, target.shape))


def _known(indices: Any) -> Array | None:
    """Indices that are known while tracing."""
    if isinstance(indices, TracedTensor):
        return indices.builder.values(indices) if indices.is_known else None
    array = as_array(indices)
    if array.dtype.kind not in "iu":
        raise located(
            IndexUnsupportedError, f"indices must be integers, these are {array.dtype}; cast them"
        )
    return array


def _written(name: str, arr: Any) -> TracedTensor:
    """What a function writes into.

    Raises:
        UnsupportedError: it is an array from outside of the traced function.
    """
    if isinstance(arr, TracedTensor):
        return arr
    raise located(
        UnsupportedError,
        f"{name}: the destination is a {type(arr).__name__} from outside of the traced function; "
        "only its arguments and what it makes itself can be written to",
    )


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """``a.flat[ind] = v``, the values repeated as often as it takes; of equal indices the last.

    Raises:
        UnsupportedError: ``a`` is an array from outside of the traced function.
    """
    target = _written("put", a)
    index: Any = as_tensor(target.builder, np.asarray(ind) if _known(ind) is not None else ind)
    if mode == "clip":
        index = np.minimum(np.maximum(index, 0), target.size - 1)
    elif mode == "wrap":
        index = np.remainder(index, target.size)
    count = index.size
    values: Any = as_tensor(target.builder, v).reshape(-1)
    if count and values.size:
        repeated = call(np.tile, values, -(-count // values.size))[:count]
        known = _known(ind) is not None and mode == "raise"
        _put_flat(target, np.ravel(ind) if known else index.reshape(-1), repeated)


def putmask(a: Any, mask: Any, values: Any) -> None:
    """``a[mask] = values[mask]``, the values repeated to the size of ``a``.

    Raises:
        UnsupportedError: ``a`` is an array from outside of the traced function.
    """
    target = _written("putmask", a)
    given: Any = as_tensor(target.builder, values).reshape(-1)
    if target.size and given.size:
        repeated = call(np.tile, given, -(-target.size // given.size))[: target.size]
        one = given.size == 1
        setitem(target, ..., where(mask, given if one else repeated.reshape(target.shape), target))


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.put_along_axis: put_along_axis,
    np.put: put,
    np.putmask: putmask,
}
