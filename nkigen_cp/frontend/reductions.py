"""Reductions: sum, max, min, mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import along, cast_to, normalize_axes
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import INT32, UINT32, DType
from nkigen_cp.ir.tensor.graph import DimIndex
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS

# numpy sums small integers in its default integer, here the 32-bit one.
_SUM_DTYPES: dict[str, DType] = {"bool": INT32, "int": INT32, "uint": UINT32}


def reduce(kind: str, x: TracedTensor, axis: Any, keepdims: bool, dtype: object) -> TracedTensor:
    """Record a reduction over ``axis`` (an int, a tuple, or None for all).

    Raises:
        ShapeError: an axis is out of bounds or given twice; max or min of nothing.
    """
    chosen = normalize_axes(axis, x.ndim)
    if dtype is not None:
        x = cast_to(x, x.builder.narrowed(dtype))
    elif kind == "sum":
        x = cast_to(x, _SUM_DTYPES.get(x.element.kind, x.element))
    if kind in ("max", "min") and any(x.shape[a] == 0 for a in chosen):
        raise located(ShapeError, f"numpy.{kind} over a zero-size axis of shape {x.shape}")
    element = result_dtype(OPS[kind], [x.element])
    if not chosen:
        return cast_to(x, element)
    kept = [a for a in range(x.ndim) if a not in chosen]
    order = [*kept, *(a for a in range(x.ndim) if a in chosen)]
    place = {dim: position for position, dim in enumerate(order)}
    dims = range(x.ndim) if keepdims else kept
    step = Step(
        kind=kind,
        sizes=[x.shape[dim] for dim in order],
        inputs=[Read(tensor=x, index=tuple(along(place[dim]) for dim in range(x.ndim)))],
        index=tuple(DimIndex() if dim in chosen else along(place[dim]) for dim in dims),
        reduced=range(len(kept), x.ndim),
    )
    shape = tuple(1 if dim in chosen else x.shape[dim] for dim in dims)
    return x.builder.emit(step, shape, element)


def _typed(kind: str) -> Handler:
    def handle(
        a: TracedTensor, axis: Any = None, dtype: object = None, *, keepdims: bool = False
    ) -> TracedTensor:
        return reduce(kind, a, axis, keepdims, dtype)

    return handle


def _plain(kind: str) -> Handler:
    def handle(a: TracedTensor, axis: Any = None, *, keepdims: bool = False) -> TracedTensor:
        return reduce(kind, a, axis, keepdims, None)

    return handle


def _ufunc_reduce(kind: str) -> Handler:
    def handle(
        a: TracedTensor, axis: Any = 0, dtype: object = None, *, keepdims: bool = False
    ) -> TracedTensor:
        return reduce(kind, a, axis, keepdims, dtype)

    return handle


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.sum: _typed("sum"),
    np.mean: _typed("mean"),
    np.max: _plain("max"),
    np.amax: _plain("max"),
    np.min: _plain("min"),
    np.amin: _plain("min"),
}

UFUNC_METHODS: dict[tuple[np.ufunc, str], Handler] = {
    (np.add, "reduce"): _ufunc_reduce("sum"),
    (np.maximum, "reduce"): _ufunc_reduce("max"),
    (np.minimum, "reduce"): _ufunc_reduce("min"),
}
