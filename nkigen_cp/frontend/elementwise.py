"""Elementwise numpy functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import (
    Scalar,
    as_operand,
    broadcast_index,
    broadcast_shape,
    builder_of,
    cast_to,
)
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import identity_index
from nkigen_cp.ir.tensor.promotion import promote, result_dtype
from nkigen_cp.ir.tensor.table import OPS

POWERS = (-1, -0.5, 0.5, 1, 2, 3, 4)

KINDS: dict[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.negative: "negative",
    np.exp: "exp",
    np.log: "log",
    np.sqrt: "sqrt",
    np.square: "square",
    np.reciprocal: "reciprocal",
    np.absolute: "abs",
    np.tanh: "tanh",
}

# The rows of these functions return float32 for integers; integers must stay exact.
_INTEGER_FORMS: dict[str, Callable[[TracedTensor], TracedTensor]] = {
    "negative": lambda x: elementwise("multiply", x, -1),
    "abs": lambda x: elementwise("maximum", x, elementwise("multiply", x, -1)),
    "square": lambda x: elementwise("multiply", x, x),
    "relu": lambda x: elementwise("maximum", x, 0),
}


def elementwise(kind: str, *values: object, dtype: object = None) -> TracedTensor:
    """Record an elementwise row over the broadcast shape of its operands.

    Args:
        kind: the row.
        values: traced tensors (at least one), captured arrays, numbers.
        dtype: compute in this dtype, as numpy's ``dtype=``.

    Raises:
        ShapeError: the shapes do not broadcast.
        UnsupportedError: a value is no number or array of numbers.
    """
    builder = builder_of(values)
    operands = [as_operand(builder, v) for v in values]
    given = None if dtype is None else builder.narrowed(dtype)
    operands = _cast_operands(operands, given)
    tensors = [o for o in operands if isinstance(o, TracedTensor)]
    if kind in _INTEGER_FORMS and not tensors[0].element.is_float:
        return _INTEGER_FORMS[kind](tensors[0])
    scalars = [o.value for o in operands if isinstance(o, Scalar)]
    element = result_dtype(OPS[kind], [t.element for t in tensors], scalars)
    shape = broadcast_shape(kind, *(o.shape for o in operands))
    step = Step(
        kind=kind,
        sizes=shape,
        inputs=[
            Read(tensor=o, index=broadcast_index(o.shape, shape))
            if isinstance(o, TracedTensor)
            else o.value
            for o in operands
        ],
        index=identity_index(range(len(shape))),
    )
    return builder.emit(step, shape, element)


def _cast_operands(
    operands: list[TracedTensor | Scalar], given: Any
) -> list[TracedTensor | Scalar]:
    """Casts that the immediates' weak types cannot express: ``dtype=``, captured typed scalars."""
    strong = [o.element for o in operands if isinstance(o, Scalar) and o.element]
    own = promote(*(o.element for o in operands if isinstance(o, TracedTensor)))
    target = given or promote(own, *strong)
    cast: list[TracedTensor | Scalar] = []
    for operand in operands:
        if isinstance(operand, TracedTensor):
            cast.append(cast_to(operand, target) if given or target is not own else operand)
        else:
            typed = operand.element or given
            value = float(operand.value) if typed and target.is_float else operand.value
            cast.append(Scalar(value=value, shape=operand.shape, element=operand.element))
    return cast


def _handler_1(kind: str) -> Handler:
    def handle(x: object, /, *, dtype: object = None) -> TracedTensor:
        return elementwise(kind, x, dtype=dtype)

    return handle


def _handler_2(kind: str) -> Handler:
    def handle(x1: object, x2: object, /, *, dtype: object = None) -> TracedTensor:
        return elementwise(kind, x1, x2, dtype=dtype)

    return handle


def power(x1: object, x2: object, /, *, dtype: object = None) -> TracedTensor:
    """``x1 ** x2`` for the exponents in ``POWERS``; integers stay integers.

    Raises:
        UnsupportedError: the exponent is a tensor or another number.
    """
    builder = builder_of((x1, x2))
    exponent = as_operand(builder, x2)
    if not isinstance(x1, TracedTensor) or not isinstance(exponent, Scalar):
        raise located(
            UnsupportedError,
            "numpy.power needs a traced base and an exponent known while tracing; write "
            "exp(y * log(x)) for a positive base",
        )
    if exponent.value not in POWERS:
        raise located(
            UnsupportedError,
            f"numpy.power with exponent {exponent.value} is not supported; supported exponents: "
            f"{', '.join(map(str, POWERS))}; write exp(y * log(x)) for a positive base",
        )
    whole = isinstance(exponent.value, int) and exponent.value > 0
    if dtype is None and not x1.element.is_float and whole:
        result = x1
        for _ in range(int(exponent.value) - 1):
            result = elementwise("multiply", result, x1)
        return result
    return elementwise("power", x1, x2, dtype=dtype)


def positive(x: TracedTensor, /, *, dtype: object = None) -> TracedTensor:
    """``+x``, which is ``x``."""
    return x if dtype is None else cast_to(x, x.builder.narrowed(dtype))


UFUNCS: dict[np.ufunc, Handler] = {
    **{u: (_handler_1 if OPS[kind].arity == 1 else _handler_2)(kind) for u, kind in KINDS.items()},
    np.power: power,
    np.positive: positive,
}
