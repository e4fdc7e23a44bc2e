"""Rows of the ops that a rewrite rule expresses by others (``ir/rewrite/rules.py``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nkigen_cp.ir.tensor.row import Family, Meaning, OpRow, Result


def _composite(
    name: str, arity: int, fn: Meaning, doc: str = "", result: Result = Result.FLOAT
) -> OpRow:
    return OpRow(
        name=name, family=Family.COMPOSITE, arity=arity, meaning=fn, result=result, doc=doc
    )


def _unary(name: str, fn: Meaning, doc: str = "") -> OpRow:
    return _composite(name, 1, fn, doc)


def _integers(name: str, arity: int, fn: Meaning, doc: str) -> OpRow:
    row = _composite(name, arity, fn, doc, Result.PROMOTE)
    return replace(row, integers=True)


def _test(name: str, fn: Meaning, doc: str) -> OpRow:
    return _composite(name, 1, fn, doc, Result.BOOL)


def _whole(name: str, fn: Meaning, doc: str) -> OpRow:
    """Rounds to an integer: integers stay what they are."""
    return _composite(name, 1, fn, doc, Result.PROMOTE)


COMPOSITE_ROWS: tuple[OpRow, ...] = (
    _composite("divide", 2, np.true_divide, "a / b: multiplied by the reciprocal"),
    _composite("negative", 1, np.negative, "-x: multiplied by -1"),
    _composite("mean", 1, np.mean, "sum divided by the number of elements"),
    _whole("rint", np.rint, "to the nearest integer, half to even: adding and taking 1.5 * 2**23"),
    _whole("floor", np.floor, "rounded, less one where that is above x"),
    _whole("ceil", np.ceil, "rounded, and one where that is below x"),
    _whole("trunc", np.trunc, "floor of |x| with the sign of x"),
    _integers("invert", 1, np.invert, "all bits turned over"),
    _integers("right_shift", 2, np.right_shift, "x >> n; the sign of x follows from the left"),
    _composite("floor_divide", 2, np.floor_divide, "a / b rounded down", Result.PROMOTE),
    _composite("remainder", 2, np.remainder, "a - b * floor(a / b)", Result.PROMOTE),
    _composite("fmod", 2, np.fmod, "a - b * trunc(a / b)", Result.PROMOTE),
    _test("isnan", np.isnan, "x differs from itself"),
    _test("isinf", np.isinf, "|x| is above the largest float"),
    _test("isfinite", np.isfinite, "|x| is at most the largest float"),
    _test("logical_not", np.logical_not, "x equals 0"),
    _unary("exp2", np.exp2, "exp(x ln 2)"),
    _unary("expm1", np.expm1, "near 0 by tanh, elsewhere exp(x) - 1"),
    _unary("log1p", np.log1p, "log(u) x / (u - 1) with u = 1 + x"),
    _unary("log2", np.log2, "log(x) / ln 2"),
    _unary("log10", np.log10, "log(x) / ln 10"),
    _unary("cbrt", np.cbrt, "exp(log|x| / 3) with the sign of x, and one step of Newton"),
    _unary("sin", np.sin, "after taking whole turns off in three parts"),
    _unary("cos", np.cos, "sin(pi/2 - |x|) after taking whole turns off"),
    _unary("tan", np.tan, "sin(x) / cos(x)"),
    _unary("arctan", np.arctan, "of 1 / x where |x| is above 1"),
    _unary("arcsin", np.arcsin, "arctan(x / sqrt((1 - x)(1 + x)))"),
    _unary("arccos", np.arccos, "pi/2 - arcsin(x)"),
    _unary("sinh", np.sinh, "(e + e / (e + 1)) / 2 with e = expm1(x)"),
    _unary("cosh", np.cosh, "(exp(x) + exp(-x)) / 2"),
    _composite("logaddexp", 2, np.logaddexp, "max + log1p(exp(-|a - b|))"),
    _composite("hypot", 2, np.hypot, "max * sqrt(1 + (min / max)**2)"),
)
