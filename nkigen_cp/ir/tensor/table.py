"""The op table: one row per op kind. Legality, layouts, lowering, tests and docs derive from it.

A row's ``meaning`` is its numpy definition over arrays already gathered into the op's iteration
space (see ``interpret``); reductions receive the axes to reduce. ``alu`` and ``activation`` are the
hardware operators that compute the same function, by their nki.language names.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Meaning = Callable[..., Any]


class Family(enum.Enum):
    """How an op uses its iteration axes."""

    ELEMENTWISE = "elementwise"  # every axis parallel
    REDUCE = "reduce"  # one operand, reduced axes missing in the output
    CONTRACT = "contract"  # sum of products of two operands over the reduced axes
    COPY = "copy"  # moves data through its index maps, may change the dtype
    RESHAPE = "reshape"  # row-major reinterpretation that does not nest
    COMPOSITE = "composite"  # defined by a rewrite into other rows


class Result(enum.Enum):
    """How the result's dtype follows from the operands'."""

    PROMOTE = "promote"  # numpy promotion
    FLOAT = "float"  # promotion, integers become float32
    GIVEN = "given"  # attribute "dtype"
    BOOL = "bool"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """One op kind. ``arity`` counts inputs, tensors or immediates."""

    name: str
    family: Family
    arity: int
    meaning: Meaning
    result: Result = Result.PROMOTE
    alu: str | None = None
    activation: str | None = None
    commutative: bool = False
    doc: str = ""


def _rsqrt(x: Any) -> Any:
    return 1.0 / np.sqrt(x)


def _reciprocal(x: Any) -> Any:
    return 1.0 / x


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _silu(x: Any) -> Any:
    return x * _sigmoid(x)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.float64])(np.asarray(x, np.float64))


def _gelu(x: Any) -> Any:
    return (0.5 * x * (1.0 + _erf(np.asarray(x) / math.sqrt(2.0)))).astype(np.asarray(x).dtype)


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _binary(name: str, fn: Meaning, alu: str, *, commutative: bool = False) -> OpRow:
    return OpRow(
        name=name, family=Family.ELEMENTWISE, arity=2, meaning=fn, alu=alu, commutative=commutative
    )


def _unary(name: str, fn: Meaning, *, activation: str | None, doc: str = "") -> OpRow:
    return OpRow(
        name=name,
        family=Family.ELEMENTWISE,
        arity=1,
        meaning=fn,
        result=Result.FLOAT,
        activation=activation,
        doc=doc,
    )


def _reduce(name: str, fn: Meaning, alu: str | None, family: Family = Family.REDUCE) -> OpRow:
    result = Result.PROMOTE if alu else Result.FLOAT
    return OpRow(name=name, family=family, arity=1, meaning=fn, alu=alu, result=result)


def _composite(name: str, arity: int, fn: Meaning, doc: str) -> OpRow:
    return OpRow(
        name=name, family=Family.COMPOSITE, arity=arity, meaning=fn, result=Result.FLOAT, doc=doc
    )


ROWS: tuple[OpRow, ...] = (
    _binary("add", np.add, "add", commutative=True),
    _binary("subtract", np.subtract, "subtract"),
    _binary("multiply", np.multiply, "multiply", commutative=True),
    _binary("maximum", np.maximum, "maximum", commutative=True),
    _binary("minimum", np.minimum, "minimum", commutative=True),
    _composite("divide", 2, np.true_divide, "a / b: multiplied by the reciprocal"),
    _composite("power", 2, np.power, "x ** n for small integer n and n = 0.5, -0.5"),
    _composite("negative", 1, np.negative, "-x: multiplied by -1"),
    _unary("exp", np.exp, activation="exp"),
    _unary("log", np.log, activation="log"),
    _unary("sqrt", np.sqrt, activation="sqrt"),
    _unary("rsqrt", _rsqrt, activation="rsqrt"),
    _unary("reciprocal", _reciprocal, activation="reciprocal"),
    _unary("square", np.square, activation="square"),
    _unary("abs", np.abs, activation="abs"),
    _unary("tanh", np.tanh, activation="tanh"),
    _unary("relu", _relu, activation="relu"),
    _unary("sigmoid", _sigmoid, activation="sigmoid"),
    _unary("silu", _silu, activation="silu", doc="x * sigmoid(x)"),
    _unary("gelu", _gelu, activation="gelu", doc="exact, by erf"),
    _unary("gelu_tanh", _gelu_tanh, activation="gelu_apprx_tanh"),
    _reduce("sum", np.sum, "add"),
    _reduce("max", np.max, "maximum"),
    _reduce("min", np.min, "minimum"),
    _reduce("mean", np.mean, None, Family.COMPOSITE),
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
    OpRow(
        name="reshape",
        family=Family.RESHAPE,
        arity=1,
        meaning=np.positive,
        result=Result.GIVEN,
        doc="row-major reinterpretation whose factors do not nest",
    ),
)

OPS: dict[str, OpRow] = {row.name: row for row in ROWS}
