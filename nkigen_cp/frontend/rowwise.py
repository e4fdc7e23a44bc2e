"""Functions of whole rows: how they are recorded, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import along, cast_to, normalize_axis
from nkigen_cp.frontend.reductions import WIDE_SUMS
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.tensor.graph import identity_index
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS

EXACT = 2**24
"""Whole numbers up to here are exact in float32."""


SMALL = {"bool": 1, "int8": 2**7, "uint8": 2**8, "int16": 2**15, "uint16": 2**16}
"""The largest magnitude of integers that float32 holds many sums of."""


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

    Both have at least two elements, as factors of one position do not exist.
    """
    outer = x.shape[:-1]
    last = len(outer)
    result = identity_index(range(last + 1))
    read = (*identity_index(range(last)), along(last + 1))
    others = [Read(tensor=m, index=result) if isinstance(m, TracedTensor) else m for m in more]
    step = Step(
        kind=kind,
        sizes=(*outer, length, x.shape[-1]),
        inputs=[Read(tensor=x, index=read), *others],
        index=result,
        reduced=(last + 1,),
        whole=(last, last + 1),
    )
    element = result_dtype(OPS[kind], [x.element])
    return x.builder.emit(step, (*outer, length), element)


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


_RUNNING: dict[str, np.ufunc] = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
}


def accumulate(kind: str, x: TracedTensor, axis: Any, dtype: object = None) -> TracedTensor:
    """A running fold along an axis, of integers in integers."""
    if dtype is not None:
        x = cast_to(x, x.builder.narrowed(dtype))
    elif kind in ("cumsum", "cumprod"):
        wide = WIDE_SUMS.get(x.element.kind, x.element)
        if kind == "cumsum" and 0 < x.size * SMALL.get(x.element.name, EXACT) < EXACT:
            return cast_to(accumulate(kind, cast_to(x, FLOAT32), axis), wide)
        x = cast_to(x, wide)
    return in_rows(x, axis, lambda rows: _folded(kind, rows))


def _folded(kind: str, rows: TracedTensor) -> TracedTensor:
    size = rows.shape[-1]
    if size <= 1:
        return rows
    if rows.element.size_bytes == 4 and not rows.element.is_float:
        return _doubling(_RUNNING[kind], rows)
    return scan(kind, rows)


def _doubling(fold: Any, rows: Any) -> Any:
    """Folds of 1, 2, 4, ... elements: exact integers, which no scan instruction has."""
    reach = 1
    while reach < rows.shape[-1]:
        more = fold(rows[..., reach:], rows[..., :-reach])
        rows = np.concatenate([rows[..., :reach], more], axis=-1)
        reach *= 2
    return rows


def _running(kind: str) -> Handler:
    def handle(a: TracedTensor, axis: Any = None, dtype: object = None) -> TracedTensor:
        return accumulate(kind, a, axis, dtype)

    return handle


def _ufunc_running(kind: str) -> Handler:
    def handle(a: TracedTensor, axis: Any = 0, dtype: object = None) -> TracedTensor:
        return accumulate(kind, a, axis, dtype)

    return handle


UFUNC_METHODS: dict[tuple[np.ufunc, str], Handler] = {
    (ufunc, "accumulate"): _ufunc_running(kind) for kind, ufunc in _RUNNING.items()
}
FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.cumsum: _running("cumsum"),
    np.cumprod: _running("cumprod"),
}
