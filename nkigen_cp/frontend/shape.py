"""Views: reshape, transposes, broadcast, dims of size 1, casts. All are recorded as copies."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError, UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.memory import duplicate_of, view_of
from nkigen_cp.frontend.named import named
from nkigen_cp.frontend.operands import (
    along,
    broadcast_index,
    broadcast_shape,
    cast_to,
    normalize_axes,
    normalize_axis,
    view,
)
from nkigen_cp.frontend.regroup import reshape_step, row_major, strides_of, view_strides
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, identity_index


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape given as an int or a sequence of ints."""
    items = cast("Sequence[Any]", shape) if isinstance(shape, (tuple, list)) else (shape,)
    try:
        return tuple(operator.index(i) for i in items)
    except TypeError:
        raise located(UnsupportedError, f"a shape must be integers, got {shape!r}") from None


def _resolve(size: int, shape: tuple[int, ...], given: tuple[int, ...]) -> tuple[int, ...]:
    """The new shape with its -1 replaced."""
    known = math.prod(s for s in given if s != -1)
    unknown = given.count(-1)
    if unknown == 1 and known > 0 and size % known == 0:
        return tuple(size // known if s == -1 else s for s in given)
    if unknown or known != size or any(s < 0 for s in given):
        raise located(
            ShapeError,
            f"reshape: a tensor of shape {shape} has {size} elements, which do not fill {given}; "
            "at most one dim may be -1",
        )
    return given


def _check_order(order: str) -> None:
    if order not in ("C", "K", "A"):
        raise located(
            UnsupportedError,
            f"order={order!r} is not supported on traced tensors; only row-major 'C' is, transpose "
            "first",
        )


def reshape(a: TracedTensor, shape: Any, order: str = "C", *, copy: object = None) -> TracedTensor:
    """Row-major reshape; a copy over the common factors if the shapes nest, else kind ``reshape``.

    Raises:
        ShapeError: the sizes differ.
    """
    del copy
    _check_order(order)
    new = _resolve(a.size, a.shape, as_shape(shape))
    if new == a.shape:
        return a
    step = reshape_step(a, new)
    if view_strides(a.shape, strides_of(a), new) is None:
        return a.builder.emit(step, new, a.element)
    return view_of(a, step, new)


def ravel(a: TracedTensor, order: str = "C") -> TracedTensor:
    """All elements in row-major order as one dim: a view where they lie so in memory."""
    _check_order(order)
    flat = (a.size,)
    if strides_of(a) == row_major(a.shape):
        return reshape(a, flat)
    step = reshape_step(a, flat)
    return a.builder.emit(step, flat, a.element)


def flatten(a: TracedTensor, order: str = "C") -> TracedTensor:
    """A copy of all elements in row-major order as one dim."""
    return duplicate_of(ravel(a, order))


def transpose(a: TracedTensor, axes: Any = None) -> TracedTensor:
    """Dims in the order ``axes``, reversed by default.

    Raises:
        ShapeError: ``axes`` is no permutation of the dims.
    """
    order = normalize_axes(axes, a.ndim) if axes is not None else tuple(range(a.ndim))[::-1]
    if len(order) != a.ndim:
        raise located(ShapeError, f"transpose: axes {axes} do not match shape {a.shape}")
    if order == tuple(range(a.ndim)):
        return a
    place = {dim: position for position, dim in enumerate(order)}
    shape = tuple(a.shape[dim] for dim in order)
    read = tuple(along(place[dim]) for dim in range(a.ndim))
    return view(a, shape, read, shape, identity_index(range(a.ndim)))


def swapaxes(a: TracedTensor, axis1: Any, axis2: Any) -> TracedTensor:
    """Two dims exchanged."""
    order = list(range(a.ndim))
    first, second = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[first], order[second] = second, first
    return transpose(a, order)


def moveaxis(a: TracedTensor, source: Any, destination: Any) -> TracedTensor:
    """Dims moved to new positions, the others in order.

    Raises:
        ShapeError: as many sources as destinations are needed.
    """
    sources, targets = normalize_axes(source, a.ndim), normalize_axes(destination, a.ndim)
    if len(sources) != len(targets):
        raise located(
            ShapeError, f"moveaxis: {len(sources)} sources but {len(targets)} destinations"
        )
    order = [dim for dim in range(a.ndim) if dim not in sources]
    for target, dim in sorted(zip(targets, sources, strict=True)):
        order.insert(target, dim)
    return transpose(a, order)


def broadcast_to(array: TracedTensor, shape: Any) -> TracedTensor:
    """The tensor repeated to a larger shape.

    Raises:
        ShapeError: the shape is no broadcast of the tensor's.
    """
    new = as_shape(shape)
    if broadcast_shape("broadcast_to", array.shape, new) != new:
        raise located(ShapeError, f"broadcast_to: shape {array.shape} does not broadcast to {new}")
    if new == array.shape:
        return array
    read = broadcast_index(array.shape, new)
    return view(array, new, read, new, identity_index(range(len(new))))


def expand_dims(a: TracedTensor, axis: Any) -> TracedTensor:
    """New dims of size 1 at the given positions of the result."""
    count = len(cast("Sequence[Any]", axis)) if isinstance(axis, (tuple, list)) else 1
    new = normalize_axes(axis, a.ndim + count)
    old = iter(range(a.ndim))
    dims = [-1 if position in new else next(old) for position in range(a.ndim + count)]
    shape = tuple(1 if dim < 0 else a.shape[dim] for dim in dims)
    if not count:
        return a
    return view(a, a.shape, identity_index(range(a.ndim)), shape, identity_index(dims))


def squeeze(a: TracedTensor, axis: Any = None) -> TracedTensor:
    """Dims of size 1 removed: all of them, or those given.

    Raises:
        ShapeError: a given dim's size is not 1.
    """
    ones = tuple(dim for dim, size in enumerate(a.shape) if size == 1)
    gone = ones if axis is None else normalize_axes(axis, a.ndim)
    for dim in gone:
        if a.shape[dim] != 1:
            raise located(
                ShapeError, f"squeeze: dim {dim} of shape {a.shape} has size {a.shape[dim]}, not 1"
            )
    if not gone:
        return a
    kept = [dim for dim in range(a.ndim) if dim not in gone]
    place = {dim: position for position, dim in enumerate(kept)}
    shape = tuple(a.shape[dim] for dim in kept)
    read = tuple(DimIndex() if dim in gone else along(place[dim]) for dim in range(a.ndim))
    return view(a, shape, read, shape, identity_index(range(len(kept))))


def astype(
    a: TracedTensor,
    dtype: Any,
    order: str = "K",
    casting: str = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> TracedTensor:
    """A copy in another dtype; 64-bit dtypes narrow with a warning.

    Without ``copy`` it is the array itself if it has the dtype; the others change nothing here.

    Raises:
        UnsupportedError: the dtype is not supported.
    """
    del order, casting, subok
    element = a.builder.narrowed(dtype)
    return duplicate_of(a) if copy and a.element is element else cast_to(a, element)


def duplicate(a: TracedTensor, order: str = "K", subok: bool = False) -> TracedTensor:
    """``numpy.copy``: an array with a memory of its own."""
    del order, subok
    return duplicate_of(a)


def ndim(a: TracedTensor) -> int:
    """Number of dims."""
    return a.ndim


def shape_of(a: TracedTensor) -> tuple[int, ...]:
    """The shape, known while tracing."""
    return a.shape


def size(a: TracedTensor, axis: Any = None) -> int:
    """Number of elements, or the size of one dim."""
    return a.size if axis is None else a.shape[normalize_axis(axis, a.ndim)]


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.reshape: reshape,
    np.ravel: ravel,
    np.transpose: transpose,
    np.swapaxes: swapaxes,
    np.moveaxis: moveaxis,
    np.broadcast_to: broadcast_to,
    np.expand_dims: expand_dims,
    np.squeeze: squeeze,
    np.copy: duplicate,
    np.ndarray.flatten: flatten,
    np.ndim: ndim,
    np.shape: shape_of,  # pyright: ignore[reportUnknownMemberType]
    np.size: size,
    cast("Callable[..., Any]", np.ndarray.astype): astype,
    **named({"astype": astype}),
}

VIEWS: tuple[Callable[..., Any], ...] = (
    np.reshape,
    np.ravel,
    np.transpose,
    np.swapaxes,
    np.moveaxis,
    np.broadcast_to,
    np.expand_dims,
    np.squeeze,
)
"""What gives views of its argument."""
