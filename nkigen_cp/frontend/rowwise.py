"""How functions of whole rows are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.operands import along, broadcast_index, cast_to, normalize_axis
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import identity_index
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS

EXACT = 2**24
"""Whole numbers up to here are exact in float32."""


def scan(kind: str, x: TracedTensor) -> TracedTensor:
    """Record a running fold along the last axis."""
    axes = range(x.ndim)
    step = Step(
        kind=kind,
        sizes=x.shape,
        inputs=[Read(tensor=x, index=identity_index(axes))],
        index=identity_index(axes),
        whole=(x.ndim - 1,),
    )
    return x.builder.emit(step, x.shape, x.element)


def made_of_rows(
    kind: str, x: TracedTensor, length: int, more: Sequence[TracedTensor | float] = ()
) -> TracedTensor:
    """Record a function that makes rows of ``length`` of those along the last axis.

    Tensors among ``more`` are spread over the rows that are made. Rows have at least two elements,
    as factors of one position do not exist.
    """
    outer = x.shape[:-1]
    last = len(outer)
    result = identity_index(range(last + 1))
    read = (*identity_index(range(last)), along(last + 1))
    made = (*outer, length)
    others = [
        Read(tensor=m, index=broadcast_index(m.shape, made)) if isinstance(m, TracedTensor) else m
        for m in more
    ]
    step = Step(
        kind=kind,
        sizes=(*outer, length, x.shape[-1]),
        inputs=[Read(tensor=x, index=read), *others],
        index=result,
        reduced=(last + 1,),
        whole=(last, last + 1),
    )
    element = result_dtype(OPS[kind], [x.element])
    return x.builder.emit(step, made, element)


def in_rows(
    x: TracedTensor, axis: Any, function: Callable[[TracedTensor], TracedTensor]
) -> TracedTensor:
    """The function along an axis, or along all elements in a row if it is None."""
    if axis is None:
        return function(call(np.ravel, x))
    dim = normalize_axis(axis, x.ndim)
    if dim == x.ndim - 1:
        return function(x)
    return call(np.moveaxis, function(call(np.moveaxis, x, dim, -1)), -1, dim)


def call(function: Any, x: TracedTensor, *args: Any, **kwargs: Any) -> TracedTensor:
    """A numpy function that is known while tracing."""
    return x.builder.call(function, (x, *args), kwargs)


def whole_as(x: TracedTensor, element: DType) -> TracedTensor:
    """Whole numbers in another dtype that holds them: a cast without anything to cut off."""
    if element.is_float or not x.element.is_float:
        return cast_to(x, element)
    index = identity_index(range(x.ndim))
    step = Step(
        kind="convert",
        sizes=x.shape,
        inputs=[Read(tensor=x, index=index)],
        index=index,
        attrs={"dtype": element.name},
    )
    return x.builder.emit(step, x.shape, element)
