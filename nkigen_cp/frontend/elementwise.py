"""Elementwise numpy functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ArgumentError, IndexUnsupportedError, UnsupportedError
from nkigen_cp.frontend.builder import Builder, Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import (
    Scalar,
    as_operand,
    as_tensor,
    broadcast_index,
    broadcast_shape,
    builder_of,
    cast_to,
)
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import FLOAT32, INT8, INT32, DType
from nkigen_cp.ir.tensor.graph import identity_index
from nkigen_cp.ir.tensor.promotion import promote, result_dtype
from nkigen_cp.ir.tensor.table import OPS, Family, Result

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
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.less: "less",
    np.less_equal: "less_equal",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
    np.logical_and: "logical_and",
    np.logical_or: "logical_or",
    np.logical_xor: "logical_xor",
    np.logical_not: "logical_not",
    np.isnan: "isnan",
    np.isinf: "isinf",
    np.isfinite: "isfinite",
    np.rint: "rint",
    np.floor: "floor",
    np.ceil: "ceil",
    np.trunc: "trunc",
    np.sign: "sign",
    np.exp2: "exp2",
    np.expm1: "expm1",
    np.log1p: "log1p",
    np.log2: "log2",
    np.log10: "log10",
    np.cbrt: "cbrt",
    np.sin: "sin",
    np.cos: "cos",
    np.tan: "tan",
    np.arctan: "arctan",
    np.arcsin: "arcsin",
    np.arccos: "arccos",
    np.sinh: "sinh",
    np.cosh: "cosh",
    np.logaddexp: "logaddexp",
    np.hypot: "hypot",
    np.floor_divide: "floor_divide",
    np.remainder: "remainder",
    np.fmod: "fmod",
}

# The rows of these functions return float32 for integers; integers must stay exact.
_INTEGER_FORMS: dict[str, Callable[[TracedTensor], TracedTensor]] = {
    "negative": lambda x: elementwise("multiply", x, -1),
    "abs": lambda x: (
        where(elementwise("less", x, 0), elementwise("multiply", x, -1), x)
        if x.element.kind == "int"
        else x
    ),
    "square": lambda x: elementwise("multiply", x, x),
    "relu": lambda x: elementwise("maximum", x, 0),
    "sign": lambda x: elementwise(
        "subtract",
        cast_to(elementwise("greater", x, 0), x.element),
        cast_to(elementwise("less", x, 0), x.element),
    ),
    **dict.fromkeys(("rint", "floor", "ceil", "trunc"), lambda x: x),
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
    row = OPS[kind]
    element = result_dtype(row, [t.element for t in tensors], scalars)
    composed = row.family is Family.COMPOSITE and row.result is Result.FLOAT
    if composed and any(not t.element.is_float for t in tensors):
        operands = _cast_operands(operands, element)  # formulas of floats choose between floats
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
    """``x1 ** x2``; integers stay integers.

    Raises:
        ArgumentError: an integer is raised to a negative integer, as numpy refuses it.
    """
    builder = builder_of((x1, x2))
    exponent = as_operand(builder, x2)
    plain = dtype is None and isinstance(x1, TracedTensor) and not x1.element.is_float
    if not plain or not isinstance(exponent, Scalar) or not isinstance(exponent.value, int):
        return elementwise("power", x1, x2, dtype=dtype)
    assert isinstance(x1, TracedTensor)
    if exponent.value < 0:
        raise located(
            ArgumentError,
            f"numpy.power of integers with the negative exponent {exponent.value} is no integer; "
            "cast the base to a float first",
        )
    return _whole_power(x1, exponent.value)


def _whole_power(x: TracedTensor, exponent: int) -> TracedTensor:
    """By squaring, as often as the exponent has bits."""
    if exponent == 0:
        return elementwise("add", elementwise("multiply", x, 0), 1)
    if exponent == 1:
        return x
    half = _whole_power(x, exponent // 2)
    squared = elementwise("multiply", half, half)
    return elementwise("multiply", squared, x) if exponent % 2 else squared


def divmod_of(x1: object, x2: object, /) -> tuple[TracedTensor, TracedTensor]:
    """``(x1 // x2, x1 % x2)``."""
    return elementwise("floor_divide", x1, x2), elementwise("remainder", x1, x2)


def positive(x: TracedTensor, /, *, dtype: object = None) -> TracedTensor:
    """``+x``, which is ``x``."""
    return x if dtype is None else cast_to(x, x.builder.narrowed(dtype))


def _of_bits(kind: str, of_truth: str = "") -> Handler:
    """A bit operator; of booleans alone, the logical one, as far as there is one."""

    def handle(*values: object) -> TracedTensor:
        builder = builder_of(values)
        kinds = [_kind_of(builder, v) for v in values]
        if "float" in kinds:
            raise located(
                UnsupportedError, f"numpy.{kind} takes integers and booleans; cast floats first"
            )
        if of_truth and all(k == "bool" for k in kinds):
            return elementwise(of_truth, *values)
        if all(k == "bool" for k in kinds):
            values = tuple(_as_small_integer(v) for v in values)
        return elementwise(kind, *values)

    return handle


def _kind_of(builder: Builder, value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    operand = as_operand(builder, value)
    if isinstance(operand, TracedTensor) or operand.element is not None:
        assert operand.element is not None
        return operand.element.kind
    return "float" if isinstance(operand.value, float) else "int"


def _as_small_integer(value: object) -> object:
    return cast_to(value, INT8) if isinstance(value, TracedTensor) else value


def where(condition: object, x: object = None, y: object = None, /) -> TracedTensor:
    """``x`` where the condition holds, else ``y``.

    Raises:
        IndexUnsupportedError: x or y is not given: the shape would depend on data.
    """
    if x is None or y is None:
        raise located(
            IndexUnsupportedError,
            "numpy.where with a condition alone gives a shape that depends on data; give x and y",
        )
    builder = builder_of((condition, x, y))
    chosen = as_tensor(builder, condition)
    if chosen.element.kind != "bool":
        chosen = elementwise("not_equal", chosen, 0)
    sides = [as_operand(builder, v) for v in (x, y)]
    element = _chosen_dtype(sides)
    return elementwise("select", chosen, *(_as_side(s, element) for s in sides))


def _as_side(side: TracedTensor | Scalar, element: DType) -> object:
    """The side of a choice as a tensor, an array or a number of this dtype."""
    if isinstance(side, TracedTensor):
        return cast_to(side, element)
    if side.shape:
        return np.full(side.shape, side.value, element.numpy)
    return float(side.value) if element.is_float else side.value


def _chosen_dtype(sides: Sequence[TracedTensor | Scalar]) -> DType:
    """Numpy's promotion of the sides, in which Python numbers are weak."""
    strong = [s.element for s in sides if s.element is not None]
    weak = [s.value for s in sides if isinstance(s, Scalar) and s.element is None]
    if not strong:
        return FLOAT32 if any(isinstance(v, float) for v in weak) else INT32
    return result_dtype(OPS["add"], strong, weak)


def clip(
    a: object,
    a_min: object = None,
    a_max: object = None,
    *,
    min: object = None,
    max: object = None,
) -> TracedTensor:
    """``minimum(maximum(a, a_min), a_max)``; a bound of None is none."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    builder = builder_of((a, low, high))
    found = as_tensor(builder, a)
    found = found if low is None else elementwise("maximum", found, low)
    return found if high is None else elementwise("minimum", found, high)


def round_to(a: TracedTensor, decimals: int = 0) -> TracedTensor:
    """To the nearest multiple of ``10 ** -decimals``, half to even."""
    if decimals == 0:
        return elementwise("rint", a)
    scale = 10.0**decimals
    return elementwise("divide", elementwise("rint", elementwise("multiply", a, scale)), scale)


UFUNCS: dict[np.ufunc, Handler] = {
    **{u: (_handler_1 if OPS[kind].arity == 1 else _handler_2)(kind) for u, kind in KINDS.items()},
    np.power: power,
    np.divmod: divmod_of,
    np.positive: positive,
    np.bitwise_and: _of_bits("bitwise_and", "logical_and"),
    np.bitwise_or: _of_bits("bitwise_or", "logical_or"),
    np.bitwise_xor: _of_bits("bitwise_xor", "logical_xor"),
    np.invert: _of_bits("invert", "logical_not"),
    np.left_shift: _of_bits("left_shift"),
    np.right_shift: _of_bits("right_shift"),
}

FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.where: where,
    cast("Any", np).clip: clip,
    np.round: round_to,
    np.around: round_to,
}
