"""Subscripts: integers, slices with steps, ellipsis, newaxis, index arrays."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import IndexUnsupportedError, ShapeError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.content import Positions
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.gathering import subscript
from nkigen_cp.frontend.memory import duplicate_of, view_of
from nkigen_cp.frontend.operands import along, view
from nkigen_cp.frontend.picking import pick
from nkigen_cp.frontend.regroup import reshape_step
from nkigen_cp.frontend.shape import transpose
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, identity_index


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picked:
    """What a subscript takes of one dim: ``size`` positions, or one and the dim is gone (None)."""

    start: int
    step: int = 1
    size: int | None = None


def _is_array(part: object) -> bool:
    return isinstance(part, (np.ndarray, list, bool, np.bool_))


def _check_parts(parts: Sequence[object]) -> None:
    for part in parts:
        if isinstance(part, TracedTensor) and part.is_known:
            continue
        if isinstance(part, TracedTensor) and part.element.kind == "bool":
            raise located(
                IndexUnsupportedError,
                "a traced boolean mask as an index gives a shape that depends on data, which is "
                "not supported; use where(mask, a, b), or multiply by the mask",
            )


def _known(parts: Sequence[object]) -> list[object]:
    """The parts with lists made arrays, and masks the positions at which they hold."""
    found: list[object] = []
    for part in parts:
        known = part
        if isinstance(part, TracedTensor) and part.is_known:
            known = part.builder.values(part)
        array = np.asarray(known) if _is_array(known) else None
        if array is None:
            found.append(part)
        elif array.dtype == np.bool_:
            found += [*np.nonzero(array)] if array.ndim else [np.zeros(int(array.item()), np.int64)]
        else:
            found.append(array.astype(np.int64))
    return found


def parts_of(key: object) -> list[object]:
    """The indices of a subscript, one by one."""
    return list(cast("tuple[object, ...]", key)) if isinstance(key, tuple) else [key]


def expand(key: object, shape: tuple[int, ...]) -> list[Any]:
    """The subscript as one part per dim, plus newaxis parts (None)."""
    parts = parts_of(key)
    _check_parts(parts)
    parts = _known(parts)
    used = sum(1 for part in parts if part is not None and part is not Ellipsis)
    dots = sum(1 for part in parts if part is Ellipsis)
    if used > len(shape) or dots > 1:
        raise located(
            ShapeError,
            f"a subscript with {used} indices and {dots} ellipses does not fit shape {shape}",
        )
    fill: list[Any] = [slice(None)] * (len(shape) - used)
    if not dots:
        return [*parts, *fill]
    at = next(i for i, part in enumerate(parts) if part is Ellipsis)
    return [*parts[:at], *fill, *parts[at + 1 :]]


def _pick(part: object, dim: int, size: int) -> _Picked:
    if isinstance(part, slice):
        positions = range(*part.indices(size))
        return _Picked(start=positions.start, step=positions.step, size=len(positions))
    try:
        position = operator.index(cast("Any", part))
    except TypeError:
        raise located(
            IndexUnsupportedError,
            f"an index of type {type(part).__name__} is not supported; supported: integers, "
            "slices, ellipsis and newaxis",
        ) from None
    if not -size <= position < size:
        raise located(ShapeError, f"index {position} is out of bounds for dim {dim} of size {size}")
    return _Picked(start=position % size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a subscript addresses: a view, and along ``dim`` of it only the positions ``rows``."""

    view: TracedTensor
    dim: int = 0
    rows: Positions | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that a value of the subscript has."""
        rows = self.rows
        if rows is None:
            return self.view.shape
        return (*self.view.shape[: self.dim], *rows.shape, *self.view.shape[self.dim + 1 :])

    @property
    def view_shape(self) -> tuple[int, ...]:
        """The same with all index arrays as one dim."""
        rows = self.rows
        if rows is None:
            return self.view.shape
        return (*self.view.shape[: self.dim], rows.size, *self.view.shape[self.dim + 1 :])


def getitem(x: TracedTensor, key: object, /) -> Any:
    """``x[key]``: a view, or a new array if the key has index arrays or only integers.

    Raises:
        ShapeError: too many indices, or one is out of bounds.
        IndexUnsupportedError: an index is a traced mask, or not of integers.
        IndexCountError: there is another array beside a traced one.
    """
    if picks(key):
        return subscript(x, expand(key, x.shape), _basic)
    chosen = select(x, key)
    if chosen.rows is not None:
        return pick(chosen.view, chosen.dim, chosen.rows)
    if chosen.view.shape or any(part is Ellipsis for part in parts_of(key)):
        return chosen.view
    return x.builder.values(chosen.view)[()] if x.is_known else duplicate_of(chosen.view)


def picks(key: object) -> bool:
    """Whether an index of the subscript is a traced tensor."""
    return any(isinstance(p, TracedTensor) and not p.is_known for p in parts_of(key))


def select(x: TracedTensor, key: object) -> Selection:
    """What ``x[key]`` addresses.

    Raises:
        ShapeError: too many indices, or one is out of bounds.
        IndexUnsupportedError: an index is a traced tensor.
    """
    parts = expand(key, x.shape)
    if any(isinstance(p, np.ndarray) for p in parts):
        return _advanced(x, parts)
    return Selection(view=_basic(x, parts))


def _advanced(x: TracedTensor, parts: Sequence[Any]) -> Selection:
    """Arrays beside other parts: those first, then the positions, all arrays as one."""
    # An integer among arrays is an array of one position.
    mixed = [isinstance(p, np.ndarray) or _is_integer(p) for p in parts]
    arrays = [np.asarray(p) for p, m in zip(parts, mixed, strict=True) if m]
    plain = [slice(None) if m else p for p, m in zip(parts, mixed, strict=True)]
    x = _basic(x, plain)
    dims = [d for d, m in enumerate(mixed) if m]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = " and ".join(str(a.shape) for a in arrays)
        raise located(ShapeError, f"index arrays of shapes {shapes} do not broadcast") from None
    together = dims == list(range(dims[0], dims[-1] + 1))
    first = dims[0] if together else 0
    rest = [d for d in range(x.ndim) if d not in dims]
    order = [*rest[:first], *dims, *rest[first:]]
    sizes = [x.shape[d] for d in dims]
    flat = _flat_positions(arrays, sizes)
    x = transpose(x, order)
    shape = (*x.shape[:first], math.prod(sizes), *x.shape[first + len(dims) :])
    merged = x if len(dims) == 1 else view_of(x, reshape_step(x, shape), shape)
    return Selection(view=merged, dim=first, rows=flat)


def _is_integer(part: object) -> bool:
    return isinstance(part, (int, np.integer))


def _flat_positions(arrays: Sequence[Any], sizes: Sequence[int]) -> Positions:
    """Row-major positions over several dims.

    Raises:
        ShapeError: an index is out of bounds.
    """
    flat = np.zeros(arrays[0].shape, np.int64)
    for dim, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.size and (array.min() < -size or array.max() >= size):
            wrong = array.min() if array.min() < -size else array.max()
            raise located(
                ShapeError, f"index {wrong} is out of bounds for indexed dim {dim} of size {size}"
            )
        flat = flat * size + np.mod(array, max(1, size))
    return flat


def _basic(x: TracedTensor, parts: Sequence[Any]) -> TracedTensor:
    """Integers, slices and newaxis as one copy op."""
    sizes: list[int] = []
    read: list[DimIndex] = []
    dims: list[int] = []
    for part in parts:
        if part is None:
            dims.append(-1)
            continue
        picked = _pick(part, len(read), x.shape[len(read)])
        if picked.size is None:
            read.append(DimIndex(offset=picked.start))
            continue
        start = picked.start if picked.size else 0
        read.append(along(len(sizes), stride=picked.step, offset=start))
        dims.append(len(sizes))
        sizes.append(picked.size)
    whole = identity_index(range(x.ndim))
    if tuple(read) == whole and tuple(sizes) == x.shape and dims == list(range(x.ndim)):
        return view_of(x, None, x.shape)
    shape = tuple(1 if axis < 0 else sizes[axis] for axis in dims)
    return view(x, sizes, tuple(read), shape, identity_index(dims))


FUNCTIONS: dict[Callable[..., Any], Handler] = {operator.getitem: getitem}
