"""What handlers share: operands of any kind made tensors, axes normalised, copies recorded."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError, UnsupportedError
from nkigen_cp.frontend.builder import Builder, Index, Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.memory import view_of
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Array, DimIndex, Term, identity_index
from nkigen_cp.ir.tensor.promotion import narrow, promote

# Numpy scalar types whose width is numpy's default, not the user's choice.
_WEAK = (np.dtype(np.int64), np.dtype(np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A number known while tracing; ``element`` is None for a weak one (a Python number)."""

    value: float | int
    shape: tuple[int, ...] = ()
    element: DType | None = None


def builder_of(values: Iterable[object]) -> Builder:
    """The trace that the first traced tensor among the values belongs to."""
    return next(v.builder for v in values if isinstance(v, TracedTensor))


def as_array(value: object) -> Array:
    """A captured array, scalar or nested list as a numpy array of a supported dtype.

    Raises:
        UnsupportedError: it is no array of numbers.
    """
    array = np.asarray(value)
    try:
        narrow(array.dtype)
    except UnsupportedError:
        raise located(
            UnsupportedError,
            f"a value of type {type(value).__name__} (dtype {array.dtype}) cannot be combined "
            "with a traced tensor; give a number or an array of a supported dtype",
        ) from None
    return array


def as_tensor(builder: Builder, value: object) -> TracedTensor:
    """The traced tensor itself, or a constant of the captured value."""
    return value if isinstance(value, TracedTensor) else builder.constant(as_array(value))


def as_operand(builder: Builder, value: object) -> TracedTensor | Scalar:
    """An elementwise operand: captured arrays of size 1 become scalars.

    Numpy's own 64-bit scalars (``np.sqrt(128)``) are weak like Python's: their width is numpy's
    default, not the user's choice.
    """
    if isinstance(value, TracedTensor):
        return value
    if isinstance(value, float):  # np.float64 is one
        return Scalar(value=float(value))
    array = as_array(value)
    if isinstance(value, int) or (isinstance(value, np.generic) and array.dtype in _WEAK):
        return Scalar(value=int(array.item()))
    if array.size != 1:
        return builder.constant(array)
    element = narrow(array.dtype)[0]
    number = array.astype(element.numpy).astype(np.float64 if element.is_float else np.int64)
    return Scalar(value=cast("float | int", number.item()), shape=array.shape, element=element)


def normalize_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis.

    Raises:
        ShapeError: out of bounds.
    """
    try:
        position = operator.index(axis)
    except TypeError:
        raise located(
            UnsupportedError, f"an axis must be an integer, got {type(axis).__name__}"
        ) from None
    if not -ndim <= position < ndim:
        raise located(
            ShapeError, f"axis {position} is out of bounds for a tensor of {ndim} dimensions"
        )
    return position % ndim


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Non-negative axes in the given order; None stands for all of them.

    Raises:
        ShapeError: one is out of bounds or given twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = tuple(cast("Sequence[Any]", axis)) if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(normalize_axis(a, ndim) for a in given)
    if len(dict.fromkeys(axes)) != len(axes):
        raise located(ShapeError, f"an axis is given twice in {given}")
    return axes


def common_dtype(builder: Builder, tensors: Sequence[TracedTensor], dtype: object) -> DType:
    """The given dtype, or the promotion of the tensors' dtypes."""
    if dtype is not None:
        return builder.narrowed(dtype)
    return promote(*(t.element for t in tensors))


def copy(
    x: TracedTensor,
    sizes: Sequence[int],
    read: Index,
    shape: tuple[int, ...],
    write: Index,
    element: DType | None = None,
) -> TracedTensor:
    """Record a copy: a view of ``x``, or a cast, or both; shapes and index maps as given."""
    element = element or x.element
    step = Step(
        kind="copy",
        sizes=sizes,
        inputs=[Read(tensor=x, index=read)],
        index=write,
        attrs={"dtype": element.name},
    )
    return x.builder.emit(step, shape, element)


def view(
    x: TracedTensor, sizes: Sequence[int], read: Index, shape: tuple[int, ...], write: Index
) -> TracedTensor:
    """A view of ``x``, which shares its memory; shape and index maps as given."""
    step = Step(
        kind="copy",
        sizes=sizes,
        inputs=[Read(tensor=x, index=read)],
        index=write,
        attrs={"dtype": x.element.name},
    )
    return view_of(x, step, shape)


def cast_to(x: TracedTensor, element: DType) -> TracedTensor:
    """``x`` in another dtype; itself if it has the dtype already."""
    if x.element is element:
        return x
    index = identity_index(range(x.ndim))
    return copy(x, x.shape, index, x.shape, index, element)


def broadcast_index(shape: Sequence[int], result: Sequence[int]) -> Index:
    """Index map of an operand in an iteration over the broadcast result's dims."""
    skipped = len(result) - len(shape)
    return identity_index(
        -1 if size == 1 and result[skipped + dim] != 1 else skipped + dim
        for dim, size in enumerate(shape)
    )


def broadcast_shape(what: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Numpy's broadcast shape.

    Raises:
        ShapeError: the shapes do not broadcast.
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(s) for s in shapes)
        raise located(
            ShapeError,
            f"{what}: shapes {listed} do not broadcast; aligned at the last dim, sizes must be "
            "equal or 1",
        ) from None


def along(axis: int, *, stride: int = 1, offset: int = 0) -> DimIndex:
    """The dim index ``offset + stride * iteration[axis]``."""
    return DimIndex(offset=offset, terms=(Term(axis=axis, stride=stride),))
