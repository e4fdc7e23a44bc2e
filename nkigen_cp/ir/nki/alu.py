"""ALU operators of the Vector, Scalar and GpSimd engines: one row each, with its numpy meaning.

Arithmetic operators work on float32; bit operators keep integer bit patterns.
Source: AWS Neuron SDK docs, nki/api/nki.api.shared.rst, tables of ALU operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.ir.nki.numeric import Array

Binary = Callable[[Any, Any], Any]
Reduction = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class AluOp:
    """One operator. A unary one ignores its second argument.

    ``reduce`` folds the last dim of an array, or is None where no engine can reduce by it.
    """

    name: str
    meaning: Binary
    unary: bool = False
    bits: bool = False
    reduce: Reduction | None = None


def _truth(function: Binary) -> Binary:
    return lambda a, b: function(a, b).astype(np.float32)


def _shift(function: Binary) -> Binary:
    """A logical shift; by the operand's width or more, it leaves zero."""

    def meaning(a: Array, b: Any) -> Array:
        width = 8 * a.dtype.itemsize
        unsigned = a.view(f"u{a.dtype.itemsize}").astype(np.uint64)
        amount = np.minimum(np.asarray(b).astype(np.uint64), np.uint64(width))
        kept = function(unsigned, amount) & np.uint64(2**width - 1)
        return kept.astype(f"u{a.dtype.itemsize}").view(a.dtype)

    return meaning


def _minus_rest(values: Array) -> Array:
    return values[..., 0] - values[..., 1:].sum(axis=-1, dtype=np.float32)


def _fold(function: Any) -> Reduction:
    return lambda values: function.reduce(values, axis=-1)


def _parity(values: Array) -> Array:
    return ((values != 0).sum(axis=-1) % 2).astype(np.float32)


def _all(values: Array) -> Array:
    return (values != 0).all(axis=-1).astype(np.float32)


def _any(values: Array) -> Array:
    return (values != 0).any(axis=-1).astype(np.float32)


ALU_ROWS: tuple[AluOp, ...] = (
    AluOp(name="add", meaning=np.add, reduce=_fold(np.add)),
    AluOp(name="subtract", meaning=np.subtract, reduce=_minus_rest),
    AluOp(name="multiply", meaning=np.multiply, reduce=_fold(np.multiply)),
    AluOp(name="maximum", meaning=np.maximum, reduce=_fold(np.maximum)),
    AluOp(name="minimum", meaning=np.minimum, reduce=_fold(np.minimum)),
    AluOp(name="equal", meaning=_truth(np.equal)),
    AluOp(name="not_equal", meaning=_truth(np.not_equal)),
    AluOp(name="greater", meaning=_truth(np.greater)),
    AluOp(name="greater_equal", meaning=_truth(np.greater_equal)),
    AluOp(name="less", meaning=_truth(np.less)),
    AluOp(name="less_equal", meaning=_truth(np.less_equal)),
    AluOp(name="logical_and", meaning=_truth(np.logical_and), reduce=_all),
    AluOp(name="logical_or", meaning=_truth(np.logical_or), reduce=_any),
    AluOp(name="logical_xor", meaning=_truth(np.logical_xor), reduce=_parity),
    AluOp(name="power", meaning=np.power),
    AluOp(name="abs", meaning=lambda a, _: np.abs(a), unary=True),
    AluOp(name="reciprocal", meaning=lambda a, _: np.float32(1) / a, unary=True),
    AluOp(name="rsqrt", meaning=lambda a, _: np.float32(1) / np.sqrt(a), unary=True),
    AluOp(name="bitwise_and", meaning=np.bitwise_and, bits=True, reduce=_fold(np.bitwise_and)),
    AluOp(name="bitwise_or", meaning=np.bitwise_or, bits=True, reduce=_fold(np.bitwise_or)),
    AluOp(name="bitwise_xor", meaning=np.bitwise_xor, bits=True, reduce=_fold(np.bitwise_xor)),
    AluOp(name="invert", meaning=lambda a, _: np.invert(a), unary=True, bits=True),
    AluOp(name="left_shift", meaning=_shift(np.left_shift), bits=True),
    AluOp(name="right_shift", meaning=_shift(np.right_shift), bits=True),
)

ALU: dict[str, AluOp] = {row.name: row for row in ALU_ROWS}

COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
ACCUMULATING = {"add": 0.0, "multiply": 1.0, "maximum": -np.inf, "minimum": np.inf}
"""Operators the accumulator registers fold by, with the value a reset leaves."""


def apply(name: str, a: Any, b: Any, *, reverse: bool = False) -> Any:
    """``a op b``, or ``b op a`` when reversed; unary operators take ``a`` either way."""
    row = ALU[name]
    if reverse and not row.unary:
        a, b = b, a
    return row.meaning(a, b)
