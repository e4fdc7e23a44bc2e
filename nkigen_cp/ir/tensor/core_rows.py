"""Rows of the ops that instructions compute: what remains when every composition is rewritten."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkigen_cp.ir.tensor.row import Family, Meaning, OpRow, Result
from nkigen_cp.ir.tensor.row_rows import ROW_ROWS


def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return 1.0 / np.sqrt(x)


def reciprocal(x: Any) -> Any:
    """``1 / x``."""
    return 1.0 / x


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return np.maximum(x, 0)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return 1.0 / (1.0 + np.exp(-x))


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return x * sigmoid(x)


def erf(x: Any) -> Any:
    """The error function, which numpy lacks."""
    return np.vectorize(math.erf, otypes=[np.float64])(np.asarray(x, np.float64))


def gelu(x: Any) -> Any:
    """``x * Phi(x)`` by the error function."""
    return (0.5 * x * (1.0 + erf(np.asarray(x) / math.sqrt(2.0)))).astype(np.asarray(x).dtype)


def gelu_tanh(x: Any) -> Any:
    """``gelu`` by the tanh approximation."""
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return np.logaddexp(0, x)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    return x * np.tanh(softplus(x))


def logical_shift(x: Any, amount: Any) -> Any:
    """The bits of x moved to the right, zeros following from the left."""
    bits: Any = np.asarray(x)
    amount = np.asarray(amount)
    unsigned = bits.view(f"u{bits.dtype.itemsize}")
    return np.right_shift(unsigned, amount.view(unsigned.dtype)).view(bits.dtype)


def _binary(name: str, fn: Meaning, alu: str, **more: Any) -> OpRow:
    return OpRow(name=name, family=Family.ELEMENTWISE, arity=2, meaning=fn, alu=alu, **more)


def _test(name: str, fn: Meaning, *, commutative: bool = False) -> OpRow:
    return _binary(name, fn, name, result=Result.BOOL, commutative=commutative)


def _integers(name: str, fn: Meaning, alu: str, doc: str, *, commutative: bool = True) -> OpRow:
    return _binary(name, fn, alu, commutative=commutative, integers=True, doc=doc)


def _unary(name: str, fn: Meaning, *, activation: str, doc: str = "") -> OpRow:
    return OpRow(
        name=name,
        family=Family.ELEMENTWISE,
        arity=1,
        meaning=fn,
        result=Result.FLOAT,
        activation=activation,
        doc=doc,
    )


def _reduce(name: str, fn: Meaning, alu: str) -> OpRow:
    return OpRow(name=name, family=Family.REDUCE, arity=1, meaning=fn, alu=alu)


CORE_ROWS: tuple[OpRow, ...] = (
    _binary("add", np.add, "add", commutative=True),
    _binary("subtract", np.subtract, "subtract"),
    _binary("multiply", np.multiply, "multiply", commutative=True),
    _binary("maximum", np.maximum, "maximum", commutative=True),
    _binary("minimum", np.minimum, "minimum", commutative=True),
    _test("equal", np.equal, commutative=True),
    _test("not_equal", np.not_equal, commutative=True),
    _test("less", np.less),
    _test("less_equal", np.less_equal),
    _test("greater", np.greater),
    _test("greater_equal", np.greater_equal),
    _test("logical_and", np.logical_and, commutative=True),
    _test("logical_or", np.logical_or, commutative=True),
    _test("logical_xor", np.logical_xor, commutative=True),
    _binary("power", np.power, "power", doc="x ** y of floats"),
    _integers("bitwise_and", np.bitwise_and, "bitwise_and", "bit by bit"),
    _integers("bitwise_or", np.bitwise_or, "bitwise_or", "bit by bit"),
    _integers("bitwise_xor", np.bitwise_xor, "bitwise_xor", "bit by bit"),
    _integers("left_shift", np.left_shift, "left_shift", "x << n", commutative=False),
    _integers(
        "logical_shift", logical_shift, "right_shift", "x >> n of unsigned x", commutative=False
    ),
    _integers("integer_add", np.add, "add", "modulo 2**32"),
    _integers("integer_multiply", np.multiply, "multiply", "modulo 2**32"),
    OpRow(
        name="select",
        family=Family.ELEMENTWISE,
        arity=3,
        meaning=np.where,
        result=Result.CHOSEN,
        doc="where(condition, a, b), element by element",
    ),
    _unary("exp", np.exp, activation="exp"),
    _unary("log", np.log, activation="log"),
    _unary("sqrt", np.sqrt, activation="sqrt"),
    _unary("rsqrt", rsqrt, activation="rsqrt"),
    _unary("reciprocal", reciprocal, activation="reciprocal"),
    _unary("square", np.square, activation="square"),
    _unary("abs", np.abs, activation="abs"),
    _unary("sign", np.sign, activation="sign"),
    _unary("tanh", np.tanh, activation="tanh"),
    _unary("relu", relu, activation="relu"),
    _unary("sigmoid", sigmoid, activation="sigmoid"),
    _unary("silu", silu, activation="silu", doc="x * sigmoid(x)"),
    _unary("gelu", gelu, activation="gelu", doc="exact, by erf"),
    _unary("gelu_tanh", gelu_tanh, activation="gelu_apprx_tanh"),
    _unary("erf", erf, activation="erf"),
    _unary("softplus", softplus, activation="softplus"),
    _unary("mish", mish, activation="mish"),
    _unary("sine", np.sin, activation="sin", doc="sin(x) for x within [-pi, pi]"),
    _unary("arctangent", np.arctan, activation="arctan", doc="arctan(x) for x within [-1, 1]"),
    _reduce("sum", np.sum, "add"),
    _reduce("max", np.max, "maximum"),
    _reduce("min", np.min, "minimum"),
    _reduce("prod", np.prod, "multiply"),
    OpRow(
        name="contract",
        family=Family.CONTRACT,
        arity=2,
        meaning=np.multiply,
        doc="sum over the reduced axes of lhs * rhs: matmul, batched matmul",
    ),
    OpRow(
        name="copy",
        family=Family.COPY,
        arity=1,
        meaning=np.positive,
        result=Result.GIVEN,
        doc="moves data: cast, transpose, slice, nested reshape, broadcast, concatenation window",
    ),
    *ROW_ROWS,
    OpRow(
        name="convert",
        family=Family.COPY,
        arity=1,
        meaning=np.positive,
        result=Result.GIVEN,
        doc="whole numbers held as floats to integers",
    ),
    OpRow(
        name="gather",
        family=Family.GATHER,
        arity=2,
        meaning=np.take,
        result=Result.FIRST,
        doc="table[index]: the index says which position of one dim of the table is read",
    ),
    OpRow(
        name="scatter",
        family=Family.SCATTER,
        arity=3,
        meaning=np.put,
        result=Result.FIRST,
        doc="the first operand with values at the positions that the index holds; the last wins",
    ),
    OpRow(
        name="reshape",
        family=Family.RESHAPE,
        arity=1,
        meaning=np.positive,
        result=Result.GIVEN,
        doc="row-major reinterpretation whose factors do not nest",
    ),
)
