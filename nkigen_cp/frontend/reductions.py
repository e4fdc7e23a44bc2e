"""Reductions, and what is made of them: moments, norms, tests of all elements."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.errors import IndexUnsupportedError, ShapeError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.elementwise import where as choose
from nkigen_cp.frontend.operands import along, as_tensor, cast_to, normalize_axes
from nkigen_cp.frontend.rearrange import diagonal
from nkigen_cp.frontend.shape import broadcast_to
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import FLOAT32, INT32, UINT32, DType
from nkigen_cp.ir.tensor.graph import DimIndex
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS

WIDE_SUMS: dict[str, DType] = {"bool": INT32, "int": INT32, "uint": UINT32}
"""By kind the integer that numpy sums smaller ones in, its default one, which has 32 bits here."""


def reduce(kind: str, x: TracedTensor, axis: Any, keepdims: bool, dtype: object) -> TracedTensor:
    """Record a reduction over ``axis`` (an int, a tuple, or None for all).

    Raises:
        ShapeError: an axis is out of bounds or given twice; max or min of nothing.
    """
    chosen = normalize_axes(axis, x.ndim)
    if dtype is not None:
        x = cast_to(x, x.builder.narrowed(dtype))
    elif kind in ("sum", "prod"):
        x = cast_to(x, WIDE_SUMS.get(x.element.kind, x.element))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """How a reduction takes one more element, and what changes nothing."""

    kind: str
    neutral: float


FOLDS: dict[str, Fold] = {
    "sum": Fold(kind="add", neutral=0),
    "prod": Fold(kind="multiply", neutral=1),
    "max": Fold(kind="maximum", neutral=-np.inf),
    "min": Fold(kind="minimum", neutral=np.inf),
}


def _neutral(fold: Fold, a: TracedTensor) -> float:
    """What changes nothing among elements of a type."""
    if a.element.is_float or not math.isinf(fold.neutral):
        return fold.neutral
    if a.element.kind == "bool":
        return int(fold.neutral > 0)
    limits = np.iinfo(a.element.name)
    return limits.max if fold.neutral > 0 else limits.min


def _folded(  # noqa: PLR0913 - numpy's arguments
    kind: str,
    a: TracedTensor,
    *,
    axis: Any,
    dtype: object,
    keepdims: bool,
    initial: Any,
    where: Any,
) -> TracedTensor:
    """A reduction of the elements where a mask holds, begun with a number."""
    fold = FOLDS[kind]
    if where is not True:
        a = choose(where, a, _neutral(fold, a))
    if initial is None:
        return reduce(kind, a, axis, keepdims, dtype)
    sizes = [a.shape[d] for d in normalize_axes(axis, a.ndim)]
    if math.prod(sizes) == 0 and kind in ("max", "min"):
        none = reduce("sum", a, axis, keepdims, a.dtype)
        return elementwise("add", none, initial)
    return elementwise(fold.kind, reduce(kind, a, axis, keepdims, dtype), initial)


def _typed(kind: str, first: Any = None) -> Handler:
    def handle(
        a: TracedTensor,
        axis: Any = first,
        dtype: object = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> TracedTensor:
        return _folded(
            kind, a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where
        )

    return handle


def _plain(kind: str) -> Handler:
    def handle(
        a: TracedTensor,
        axis: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> TracedTensor:
        return _folded(
            kind, a, axis=axis, dtype=None, keepdims=keepdims, initial=initial, where=where
        )

    return handle


def mean(
    a: TracedTensor,
    axis: Any = None,
    dtype: object = None,
    *,
    keepdims: bool = False,
    where: Any = True,
) -> TracedTensor:
    """The sum divided by the number of elements, of those where a mask holds."""
    if where is True:
        return reduce("mean", a, axis, keepdims, dtype)
    mask = broadcast_to(as_tensor(a.builder, where), a.shape)
    total = reduce("sum", choose(mask, a, 0), axis, keepdims, dtype)
    count = reduce("sum", cast_to(mask, FLOAT32), axis, keepdims, None)
    return elementwise("divide", total, count)


def _of_truth(kind: str) -> Handler:
    """A reduction of whether the elements differ from 0."""

    def handle(a: TracedTensor, axis: Any = None, *, keepdims: bool = False) -> TracedTensor:
        chosen = normalize_axes(axis, a.ndim)
        if kind != "sum" and any(a.shape[d] == 0 for d in chosen):
            shape = [1 if d in chosen else n for d, n in enumerate(a.shape)]
            nothing = np.full(shape, kind == "min")
            return a.builder.constant(nothing if keepdims else np.squeeze(nothing, chosen))
        return reduce(kind, _truth(a), axis, keepdims, None)

    return handle


def _truth(a: TracedTensor) -> TracedTensor:
    return a if a.element.kind == "bool" else elementwise("not_equal", a, 0)


def variance(
    a: TracedTensor,
    axis: Any = None,
    dtype: object = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
) -> TracedTensor:
    """The mean square of what differs from the mean; ``ddof`` fewer elements count."""
    dims = normalize_axes(axis, a.ndim)
    count = math.prod(a.shape[d] for d in dims)
    centred = elementwise("subtract", a, reduce("mean", a, axis, True, dtype))
    squares = reduce("sum", elementwise("square", centred), axis, keepdims, dtype)
    return elementwise("multiply", squares, 1.0 / (count - ddof) if count > ddof else np.inf)


@functools.wraps(variance, assigned=())
def deviation(*args: Any, **kwargs: Any) -> TracedTensor:
    """The square root of ``variance``, whose arguments it takes."""
    return elementwise("sqrt", variance(*args, **kwargs))


NORMS: dict[Any, Callable[[TracedTensor, Any, bool], TracedTensor]] = {
    1: lambda x, axis, keep: reduce("sum", elementwise("abs", x), axis, keep, None),
    2: lambda x, axis, keep: elementwise(
        "sqrt", reduce("sum", elementwise("square", x), axis, keep, None)
    ),
    np.inf: lambda x, axis, keep: reduce("max", elementwise("abs", x), axis, keep, None),
    -np.inf: lambda x, axis, keep: reduce("min", elementwise("abs", x), axis, keep, None),
    0: lambda x, axis, keep: cast_to(
        reduce("sum", _truth(x), axis, keep, None), result_dtype(OPS["sqrt"], [x.element])
    ),
}


def norm(
    x: TracedTensor, ord: Any = None, axis: Any = None, keepdims: bool = False
) -> TracedTensor:
    """Vector norms of order 0, 1, 2, inf and -inf; the Frobenius norm of matrices.

    Raises:
        IndexUnsupportedError: another order, or one that needs singular values.
    """
    dims = normalize_axes(axis, x.ndim)
    order = 2 if ord in (None, "fro") else ord
    plain = ord is None or (ord == "fro" and len(dims) == 2) or len(dims) == 1
    if order not in NORMS or not plain:
        raise located(
            IndexUnsupportedError,
            f"numpy.linalg.norm with ord={ord!r} over {len(dims)} dims is not supported; supported "
            "are None, 0, 1, 2, inf and -inf of vectors, None and 'fro' of matrices",
        )
    return NORMS[order](x, axis, keepdims)


def trace_of(a: TracedTensor, offset: int = 0, axis1: Any = 0, axis2: Any = 1) -> TracedTensor:
    """The sum along a diagonal of two dims."""
    return reduce("sum", diagonal(a, offset, axis1, axis2), -1, False, None)


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.sum: _typed("sum"),
    np.mean: mean,
    np.max: _plain("max"),
    np.amax: _plain("max"),
    np.min: _plain("min"),
    np.amin: _plain("min"),
    np.prod: _typed("prod"),
    np.any: _of_truth("max"),
    np.all: _of_truth("min"),
    np.count_nonzero: _of_truth("sum"),
    np.var: variance,
    np.std: deviation,
    np.linalg.norm: norm,
    np.trace: trace_of,
}


def _reduced_truth(kind: str) -> Handler:
    """``numpy.logical_and.reduce`` and its kind, along the first axis by default."""

    def handle(a: TracedTensor, axis: Any = 0, *, keepdims: bool = False) -> TracedTensor:
        return _of_truth(kind)(a, axis, keepdims=keepdims)

    return handle


UFUNC_METHODS: dict[tuple[np.ufunc, str], Handler] = {
    (np.add, "reduce"): _typed("sum", 0),
    (np.maximum, "reduce"): _typed("max", 0),
    (np.minimum, "reduce"): _typed("min", 0),
    (np.multiply, "reduce"): _typed("prod", 0),
    (np.logical_and, "reduce"): _reduced_truth("min"),
    (np.logical_or, "reduce"): _reduced_truth("max"),
}
