"""Indices that are traced tensors: one dim of a tensor read where the data says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import IndexCountError, IndexUnsupportedError, ShapeError
from nkigen_cp.frontend.builder import Index, Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.operands import (
    as_tensor,
    broadcast_index,
    broadcast_shape,
    builder_of,
    cast_to,
    copy,
    normalize_axis,
)
from nkigen_cp.frontend.shape import ravel, transpose
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import INT32
from nkigen_cp.ir.tensor.graph import DimIndex, identity_index


def gather(x: TracedTensor, dim: int, index: TracedTensor) -> TracedTensor:
    """``x`` at the positions in ``index`` along one dim, whose place the index's dims take.

    Raises:
        IndexUnsupportedError: the index does not hold integers.
    """
    sizes = (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])
    rest = [k if k < dim else k + index.ndim - 1 for k in range(x.ndim)]
    at = identity_index(range(dim, dim + index.ndim))
    return _gather(x, dim, identity_index(rest), index, at, sizes)


def _gather(
    x: TracedTensor,
    dim: int,
    read: Index,
    index: TracedTensor,
    at: Index,
    sizes: Sequence[int],
) -> TracedTensor:
    """One op over axes of these sizes; ``read`` and ``at`` address the table and the index."""
    whole = identity_index(range(len(sizes)))
    count = x.shape[dim]
    if count == 1:  # every index means its only position
        read = (*read[:dim], DimIndex(), *read[dim + 1 :])
        return copy(x, sizes, read, tuple(sizes), whole)
    step = Step(
        kind="gather",
        sizes=sizes,
        inputs=[
            Read(tensor=x, index=(*read[:dim], DimIndex(picked=count), *read[dim + 1 :])),
            Read(tensor=positions(index, count), index=at),
        ],
        index=whole,
    )
    return x.builder.emit(step, tuple(sizes), x.element)


def positions(index: TracedTensor, count: int) -> TracedTensor:
    """The index counted from the first position on, in 32 bits; negative ones count from the end.

    Raises:
        IndexUnsupportedError: it does not hold integers.
    """
    if index.element.kind not in ("int", "uint"):
        raise located(
            IndexUnsupportedError,
            f"a traced index must hold integers, it is {index.element.name}; cast it with "
            "astype(numpy.int32)",
        )
    if index.element.kind == "uint":
        return index if index.element.size_bytes == INT32.size_bytes else cast_to(index, INT32)
    index = cast_to(index, INT32)
    back = elementwise("multiply", elementwise("less", index, 0), count)
    return elementwise("add", index, back)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedSpot:
    """The traced index of a subscript, and the dim it picks from in what ``others`` take.

    Its own dims take the place of that one, or come first as they do in numpy where integers are
    apart from it.
    """

    index: TracedTensor
    dim: int
    others: list[Any]
    is_in_place: bool


def picked_spot(parts: Sequence[Any]) -> PickedSpot:
    """Where the traced index among the parts of a subscript is.

    Raises:
        IndexCountError: another part is an array, traced or not.
    """
    if sum(isinstance(p, (TracedTensor, np.ndarray)) for p in parts) > 1:
        raise located(
            IndexCountError,
            "Only one index array is supported in a subscript with a traced one; index the dims "
            "one after the other, or merge them by reshape and compute one index",
        )
    at = next(k for k, p in enumerate(parts) if isinstance(p, TracedTensor))
    integers = [k for k, p in enumerate(parts) if isinstance(p, (int, np.integer))]
    spots = sorted([*integers, at])
    return PickedSpot(
        index=cast("TracedTensor", parts[at]),
        dim=at - sum(k < at for k in integers),
        others=[slice(None) if k == at else p for k, p in enumerate(parts)],
        is_in_place=spots == list(range(spots[0], spots[-1] + 1)),
    )


def subscript(
    x: TracedTensor, parts: Sequence[Any], basic: Callable[[TracedTensor, list[Any]], TracedTensor]
) -> TracedTensor:
    """A subscript with one traced index; ``basic`` takes what all its other parts say.

    Raises:
        IndexCountError: another part is an array, traced or not.
    """
    spot = picked_spot(parts)
    found = gather(basic(x, spot.others), spot.dim, spot.index)
    if spot.is_in_place:
        return found
    moved = list(range(spot.dim, spot.dim + spot.index.ndim))
    return transpose(found, [*moved, *(d for d in range(found.ndim) if d not in moved)])


def take(a: object, index: TracedTensor, axis: Any, mode: str) -> TracedTensor:
    """``numpy.take`` with a traced index.

    Raises:
        ShapeError: the axis is out of bounds.
    """
    x = as_tensor(index.builder, a)
    if axis is None:
        x, axis = ravel(x), 0
    dim = normalize_axis(axis, x.ndim)
    if mode == "clip":
        index = elementwise("minimum", elementwise("maximum", index, 0), x.shape[dim] - 1)
    elif mode == "wrap":
        index = cast("Any", np).remainder(index, x.shape[dim])
    return gather(x, dim, index)


def take_along_axis(arr: object, indices: object, axis: Any = -1) -> TracedTensor:
    """Along one axis the positions that ``indices`` names, one for every element of the result.

    Raises:
        ShapeError: the shapes have different ranks or do not broadcast.
    """
    builder = builder_of((arr, indices))
    x, index = as_tensor(builder, arr), as_tensor(builder, indices)
    if axis is None:
        x, axis = ravel(x), 0
    dim = normalize_axis(axis, x.ndim)
    if x.ndim != index.ndim:
        raise located(
            ShapeError,
            f"take_along_axis: shapes {x.shape} and {index.shape} must have the same number of "
            "dims",
        )
    around = (*x.shape[:dim], 1, *x.shape[dim + 1 :])
    sizes = broadcast_shape("take_along_axis", around, index.shape)
    read, at = broadcast_index(around, sizes), broadcast_index(index.shape, sizes)
    return _gather(x, dim, read, index, at, sizes)


def scatter(x: TracedTensor, dim: int, index: TracedTensor, values: object) -> TracedTensor:
    """``x`` with ``values`` at the positions in ``index`` along one dim; of several, the last.

    Raises:
        IndexUnsupportedError: the index does not hold integers.
        ShapeError: the values do not broadcast to what is written.
    """
    sizes = (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])
    given = cast_to(as_tensor(x.builder, values), x.element)
    if broadcast_shape("scatter", given.shape, sizes) != sizes:
        raise located(ShapeError, f"scatter: values {given.shape} do not broadcast to {sizes}")
    count = x.shape[dim]
    if count == 1:  # every index means its only position
        return _last(given, x, dim, index.ndim)
    whole = identity_index(k if k < dim else k + index.ndim - 1 for k in range(x.ndim))
    place = (*whole[:dim], DimIndex(picked=count), *whole[dim + 1 :])
    at = identity_index(range(dim, dim + index.ndim))
    step = Step(
        kind="scatter",
        sizes=sizes,
        inputs=[
            Read(tensor=x, index=place),
            Read(tensor=positions(index, count), index=at),
            Read(tensor=given, index=broadcast_index(given.shape, sizes)),
        ],
        index=place,
    )
    return x.builder.emit(step, x.shape, x.element)


def _last(given: TracedTensor, x: TracedTensor, dim: int, ndim: int) -> TracedTensor:
    """What the last of the indices, ``ndim`` dims of the values from ``dim`` on, writes."""
    skipped = x.ndim - 1 + ndim - given.ndim
    read: list[DimIndex] = []
    for place, size in enumerate(given.shape, skipped):
        axis = place if place < dim else place - ndim + 1
        if dim <= place < dim + ndim:
            read.append(DimIndex(offset=size - 1))
        else:
            read += identity_index([-1 if size != x.shape[axis] else axis])
    return copy(given, x.shape, tuple(read), x.shape, identity_index(range(x.ndim)))


def rows(x: object, index: object, axis: int = 0) -> TracedTensor:
    """The positions of one axis that the index names, in the place of the axis."""
    builder = builder_of((x, index))
    table = as_tensor(builder, x)
    return gather(table, normalize_axis(axis, table.ndim), as_tensor(builder, index))


def with_rows(x: object, index: object, values: object, axis: int = 0) -> TracedTensor:
    """``x`` with values at the positions of one axis that the index names."""
    builder = builder_of((x, index, values))
    base = as_tensor(builder, x)
    dim = normalize_axis(axis, base.ndim)
    return scatter(base, dim, as_tensor(builder, index), values)


FUNCTIONS: dict[Callable[..., Any], Handler] = {np.take_along_axis: take_along_axis}
