"""Subscripts: integers, slices with steps, ellipsis, newaxis."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import IndexUnsupportedError, ShapeError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import along, copy
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, identity_index


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picked:
    """What a subscript takes of one dim: ``size`` positions, or one and the dim is gone (None)."""

    start: int
    step: int = 1
    size: int | None = None


def _is_array(part: object) -> bool:
    return isinstance(part, (TracedTensor, np.ndarray, list, bool, np.bool_))


def _check_parts(parts: Sequence[object]) -> None:
    for part in parts:
        if isinstance(part, TracedTensor) and part.element.kind == "bool":
            raise located(
                IndexUnsupportedError,
                "a traced boolean mask as an index gives a shape that depends on data, which is "
                "not supported; use where(mask, a, b), or multiply by the mask",
            )
        if _is_array(part):
            raise located(
                IndexUnsupportedError,
                f"an index of type {type(part).__name__} is not supported; supported: integers, "
                "slices, ellipsis and newaxis",
            )


def _expand(key: object, shape: tuple[int, ...]) -> list[Any]:
    """The subscript as one part per dim, plus newaxis parts (None)."""
    parts = list(cast("tuple[object, ...]", key)) if isinstance(key, tuple) else [key]
    _check_parts(parts)
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


def getitem(x: TracedTensor, key: object, /) -> TracedTensor:
    """``x[key]`` as one copy op; ``x`` itself if the key takes everything.

    Raises:
        ShapeError: too many indices, or one is out of bounds.
        IndexUnsupportedError: an index is an array or a traced tensor.
    """
    sizes: list[int] = []
    read: list[DimIndex] = []
    dims: list[int] = []
    for part in _expand(key, x.shape):
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
        return x
    shape = tuple(1 if axis < 0 else sizes[axis] for axis in dims)
    return copy(x, sizes, tuple(read), shape, identity_index(dims))


FUNCTIONS: dict[Callable[..., Any], Handler] = {operator.getitem: getitem}
