"""What needs elements in order: places of extremes, the largest elements, sorting.

Sorting and the largest elements compare in float32, so integers above 2**24 are not told apart.
Rows longer than an instruction takes, and long rows of which there are few, are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.blocks import cut, end_to_end
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import cast_to, normalize_axis
from nkigen_cp.frontend.reductions import reduce
from nkigen_cp.frontend.rowwise import call, in_rows, made_of_rows, whole_as
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import FLOAT32, INT32, UINT32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The largest elements of rows, and where they are; float32 places."""

    values: Any
    places: Any


def _found(x: Any, values: TracedTensor | float, count: int) -> Any:
    return made_of_rows("find", x, max(count, 2), (values,))[..., :count]


def _whole(x: TracedTensor, count: int) -> Ordered:
    """The largest of rows that one instruction takes."""
    if x.shape[-1] == 1:
        places = np.zeros(x.shape, np.float32)
        return Ordered(values=x, places=x.builder.constant(places))
    values = made_of_rows("top", x, max(count, 2))
    places = cast_to(made_of_rows("find", x, max(count, 2), (values,)), FLOAT32)
    return Ordered(values=values[..., :count], places=places[..., :count])


def largest(x: TracedTensor, count: int) -> Ordered:
    """The largest ``count`` elements along the last axis; of equal ones the first comes first.

    Raises:
        UnsupportedError: so many of so long rows that what is left of blocks is no row either.
    """
    blocks = cut(x, count)
    if [len(b.starts) for b in blocks] == [1]:
        return _whole(x, count)
    best = [_whole(b.rows, min(count, b.rows.shape[-1])) for b in blocks]
    places = [o.places + b.starts[:, None] for o, b in zip(best, blocks, strict=True)]
    row = (*x.shape[:-1], -1)
    left = end_to_end([call(np.reshape, o.values, row) for o in best])
    numbers = end_to_end([call(np.reshape, p, row) for p in places])
    final = _whole(left, count)
    return Ordered(values=final.values, places=_picked(numbers, final.places))


def _picked(numbers: Any, places: Any) -> TracedTensor:
    """``numbers[..., places]`` along the last axis, by comparing all places."""
    every = np.arange(numbers.shape[-1], dtype=np.float32)
    where: Any = np.where
    chosen = np.equal(places[..., :, None], every)
    return reduce("sum", where(chosen, numbers[..., None, :], 0.0), -1, False, None)


def _marked(kind: str, rows: Any, extreme: Any) -> tuple[Any, Any]:
    """The rows as truth values, and which of them marks an extreme, or nan in a row that has one.

    ``extreme`` is nan where a row has one. Folded with its extreme an element differs from itself
    unless it is that extreme; folded with what changes no number, only if it is nan.
    """
    if not rows.element.is_float:
        return np.equal(rows, extreme), 1.0
    where: Any = np.where
    fold, nothing = (np.maximum, -np.inf) if kind == "max" else (np.minimum, np.inf)
    has_nan = np.isnan(extreme)
    folded = fold(rows, where(has_nan, nothing, extreme))
    return np.not_equal(folded, rows), cast_to(has_nan, FLOAT32)


def _first_extreme(kind: str, x: Any) -> Any:
    """(..., N) -> (..., 1) float32 place of the first extreme of a row, or of the first nan."""
    blocks = cut(x, 1)
    parts = end_to_end([reduce(kind, b.rows, -1, False, None) for b in blocks])
    extreme: Any = reduce(kind, parts, -1, True, None) if parts.shape[-1] > 1 else parts
    places: list[Any] = []
    for b in blocks:
        mask, sought = _marked(kind, b.rows, extreme[..., None])
        # A block that has none gives a place beyond all others.
        places.append(cast_to(_found(mask, sought, 1)[..., 0], FLOAT32) + b.starts)
    found = end_to_end(places)
    return reduce("min", found, -1, True, None) if found.shape[-1] > 1 else found


def _of_extreme(kind: str) -> Handler:
    """The place of the first of the largest or smallest elements; of the first nan if there is one.

    The handler raises ShapeError for rows without elements.
    """

    def row(x: Any) -> Any:
        if x.shape[-1] == 1:
            return x.builder.constant(np.zeros(x.shape, np.int32))
        return whole_as(_first_extreme(kind, x), INT32)

    def handle(a: TracedTensor, axis: Any = None, *, keepdims: bool = False) -> TracedTensor:
        if not a.size:
            raise located(ShapeError, f"arg{kind} of no elements; the shape is {a.shape}")
        if axis is None:
            found = in_rows(a, None, row)
            return call(np.reshape, found, (1,) * a.ndim if keepdims else ())
        found = in_rows(a, axis, row)
        return found if keepdims else call(np.squeeze, found, axis)

    return handle


def _ordered(x: TracedTensor, count: int, *, ascending: bool) -> Ordered:
    """The first ``count`` elements in order along the last axis, in float32 if x has integers."""
    keys: Any = x if x.element.is_float else cast_to(x, FLOAT32)
    found = largest(-keys if ascending else keys, count)
    values: Any = found.values
    values = whole_as(-values if ascending else values, x.element)
    return Ordered(values=values, places=found.places)


def topk(x: TracedTensor, k: int, axis: int = -1, *, is_ascend: bool = False) -> tuple[Any, Any]:
    """The ``k`` largest elements along an axis, or smallest, in order; and their places, uint32.

    Of equal elements the first comes first.

    Raises:
        ShapeError: the axis has less than ``k`` elements, or ``k`` is below 1.
    """
    dim = normalize_axis(axis, x.ndim)
    if not 1 <= k <= x.shape[dim]:
        raise located(
            ShapeError, f"topk: k={k} of axis {dim} of shape {x.shape}; 1 to {x.shape[dim]} allowed"
        )
    rows = x if dim == x.ndim - 1 else call(np.moveaxis, x, dim, -1)
    found = _ordered(rows, k, ascending=is_ascend)
    both = (found.values, whole_as(found.places, UINT32))
    back = [t if dim == x.ndim - 1 else call(np.moveaxis, t, -1, dim) for t in both]
    return back[0], back[1]


def _sorted(x: Any) -> Ordered:
    """All elements along the last axis in ascending order, nan behind all numbers."""
    size = x.shape[-1]
    if not x.element.is_float or size == 1:
        return _ordered(x, size, ascending=True)
    where: Any = np.where
    keys, broken = -x, np.isnan(x)
    values: Any = largest(where(broken, -np.inf, keys), size).values
    count: Any = reduce("sum", cast_to(broken, FLOAT32), -1, True, None)
    behind = np.greater_equal(np.arange(size, dtype=np.float32), size - count)
    bounded = where(behind, np.inf, values)
    numbers = cast_to(_found(keys, values, size), FLOAT32)
    others = cast_to(_found(broken, where(behind, 1.0, 2.0), size), FLOAT32)
    return Ordered(
        # Infinity less itself is nan.
        values=cast_to(where(behind, bounded - bounded, -values), x.element),
        places=where(behind, others, numbers),
    )


def _sorting(part: Callable[[Ordered], TracedTensor]) -> Handler:
    def handle(
        a: TracedTensor, axis: Any = -1, kind: object = None, *, stable: object = None
    ) -> TracedTensor:
        del kind, stable  # every order is stable here

        def row(x: TracedTensor) -> TracedTensor:
            return part(_sorted(x)) if x.shape[-1] else x

        return in_rows(a, axis, row)

    return handle


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.argmax: _of_extreme("max"),
    np.argmin: _of_extreme("min"),
    np.sort: _sorting(lambda found: found.values),
    np.argsort: _sorting(lambda found: whole_as(found.places, INT32)),
}
