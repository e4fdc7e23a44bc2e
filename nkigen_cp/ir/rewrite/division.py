"""Floor division and remainders: a quotient by the reciprocal, verified and corrected.

The quotient is rounded from ``a * (1 / b)``; the remainder ``a - q * b`` then says exactly by how
much it is off. Numpy's integer division by zero gives zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.ir.dtypes import FLOAT32, INT32, DType
from nkigen_cp.ir.rewrite.formulas import FLOAT32_MAX, ROUNDER, SPLIT, number
from nkigen_cp.ir.rewrite.pattern import Fold, Node, Pattern, node
from nkigen_cp.ir.rewrite.ranges import Range, limits
from nkigen_cp.ir.rewrite.site import Site
from nkigen_cp.ir.rewrite.words import bits, minus, plus, times, whole, word_of, wrapped

NARROW = Range(low=-(2**20), high=2**20)
"""Integers of which float32 gives the quotient to an eighth, and all products exactly."""

STAGE = 2.0**11
"""Quotients are found in two parts of eleven bits, which multiply half of a float exactly."""

SPLITTER = 2.0**12 + 1.0
SPLIT_MAX = 2.0**114
"""Below, the halves of a float are found by ``SPLITTER``; above, it would overflow."""

BELOW = 1.0 - 2.0**-20
"""A quotient times this is never above the exact one, whatever the roundings before."""


def _f(kind: str, *args: Pattern) -> Node:
    """An op that yields floats."""
    return node(kind, *args, dtype=FLOAT32.name)


def _near(x: Pattern) -> Node:
    """A float of at most ``SPLIT`` to the nearest whole number."""
    return _f("add", _f("add", x, number(ROUNDER)), number(-ROUNDER))


def _rounded(x: Pattern) -> Node:
    """Any float to the nearest whole number."""
    return _f("select", node("less", _f("abs", x), number(SPLIT)), _near(x), x)


def _sign(x: Pattern) -> Pattern:
    """-1 for negative numbers, else 1."""
    if isinstance(x, Fold):
        return number(-1.0 if x.compute() < 0 else 1.0)
    return _f("add", _f("multiply", node("less", x, number(0.0)), number(-2.0)), number(1.0))


def _inverse(x: Pattern) -> Pattern:
    if not isinstance(x, Fold):
        return _f("reciprocal", x)
    value = float(x.compute())
    return number(1.0 / value if value else math.copysign(math.inf, value))


def _below_zero(x: Node) -> Node:
    return node("less", x, number(0.0))


def _mask(condition: Pattern) -> Node:
    """All bits where the condition holds, else none."""
    return node("multiply", condition, whole(-1), dtype=INT32.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Divided:
    """What is left of ``a`` after the quotient, at most about ``b`` in size and of either sign."""

    quotient: Pattern
    rest: Pattern


def _off(rest: Pattern, side: Pattern) -> Node:
    """Where the rest does not have the sign of ``side``."""
    return _below_zero(_f("multiply", rest, _sign(side)))


def _safe(b: Pattern, dtype: DType) -> Pattern:
    """An integer divisor with one for zero."""
    if isinstance(b, Fold):
        return whole(int(b.compute()) or 1)
    zero = node("equal", b, whole(0))
    if dtype.is_float:
        return _f("add", b, zero)
    return plus(b, node("copy", zero, dtype=dtype.name), dtype)


def _nonzero(b: Pattern) -> Pattern:
    """All bits where the divisor is not zero."""
    if isinstance(b, Fold):
        return whole(-1 if b.compute() else 0)
    return _mask(node("not_equal", b, whole(0)))


def _narrow(site: Site) -> Pattern:
    """Of integers that float32 has: verified in float32."""
    a, divisor = site.input(0), site.input(1)
    b = _safe(divisor, FLOAT32)
    quotient = _near(_f("multiply", a, _inverse(b)))
    rest = _f("subtract", a, _f("multiply", quotient, b))
    if site.op.kind == "fmod":
        step = _f("multiply", _size(b), _sign(a))
        rest = _f("add", rest, _f("multiply", _off(rest, a), step))
    elif site.op.kind == "remainder":
        rest = _f("add", rest, _f("multiply", _off(rest, b), b))
    else:
        found = node("convert", _f("subtract", quotient, _off(rest, b)), dtype=INT32.name)
        known = bits("bitwise_and", found, _nonzero(divisor), INT32)
        return wrapped(known, INT32, limits(INT32), site.result)
    return node("convert", rest)


def _size(b: Pattern) -> Pattern:
    return number(float(abs(b.compute()))) if isinstance(b, Fold) else _f("abs", b)


def _divided(a: Pattern, b: Pattern, word: DType) -> _Divided:
    """In two rounds modulo 2**32: the first may be off by hundreds, the second by one.

    Of unsigned integers no quotient is too large, so that no rest is below zero.
    """
    inverse = _inverse(b)
    quotient: Pattern = whole(0)
    rest = a
    for rounded in (_rounded, _near):
        ratio = _f("multiply", rest, inverse)
        if word.kind == "uint":
            low = _f("add", _f("multiply", ratio, number(BELOW)), number(-0.5))
            step = _f("maximum", rounded(low), number(0.0))
        else:
            step = rounded(ratio)
        part = node("convert", step, dtype=word.name)
        quotient = part if isinstance(quotient, Fold) else plus(quotient, part, word)
        rest = minus(rest, times(part, b, word), word)
    return _Divided(quotient=quotient, rest=rest)


def _wide(site: Site) -> Pattern:
    """Of 32 bits."""
    word = word_of(site.result)
    a, divisor = site.operand(0, word), site.operand(1, word)
    b = _safe(divisor, word)
    found = _divided(a, b, word)
    unsigned = word.kind == "uint"
    side = a if site.op.kind == "fmod" else b
    off = node("greater_equal", found.rest, b) if unsigned else _off(found.rest, side)
    if site.op.kind == "floor_divide":
        by = node("copy", off, dtype=word.name) if unsigned else _mask(off)
        quotient = plus(found.quotient, by, word)
        return wrapped(_kept(_nonzero(divisor), quotient, word), word, limits(word), site.result)
    step = _negated_where(_below_zero(_f("multiply", _sign(a), _sign(b))), b, word)
    step = step if site.op.kind == "fmod" and not unsigned else b
    taken = _kept(_mask(off), step, word)
    rest = (minus if unsigned else plus)(found.rest, taken, word)
    return wrapped(rest, word, limits(word), site.result)


def _kept(mask: Pattern, x: Pattern, word: DType) -> Pattern:
    pair = (x, mask) if isinstance(mask, Fold) else (mask, x)
    return bits("bitwise_and", *pair, word)


def _negated_where(condition: Pattern, x: Pattern, word: DType) -> Pattern:
    """``-x`` where the condition holds: all bits turned over, and one more."""
    mask = _mask(condition)
    turned = bits("bitwise_xor", mask, x, word)
    return plus(turned, node("copy", condition, dtype=word.name), word)


def _halves(b: Pattern) -> tuple[Pattern, Pattern]:
    """A float as the sum of two of twelve bits each."""
    if isinstance(b, Fold):
        value: Any = np.float32(b.compute())
        scaled: Any = np.float32(SPLITTER) * value
        high = scaled - (scaled - value) if abs(value) < SPLIT_MAX else value
        return number(float(high)), number(float(value - high))
    scaled = _f("multiply", b, number(SPLITTER))
    high = _f("subtract", scaled, _f("subtract", scaled, b))
    high = _f("select", node("less", _f("abs", b), number(SPLIT_MAX)), high, b)
    return high, _f("subtract", b, high)


def _finite(b: Pattern) -> Pattern:
    """Infinities as the largest floats, which divide finite numbers alike."""
    if isinstance(b, Fold):
        return b
    return _f("minimum", _f("maximum", b, number(-FLOAT32_MAX)), number(FLOAT32_MAX))


def _of_floats(site: Site) -> Pattern:
    """Exact for quotients below 2**22."""
    a, divisor = site.input(0), site.input(1)
    inverse, b = _inverse(divisor), _finite(divisor)
    high, low = _halves(b)

    def rest_of(x: Pattern, quotient: Pattern) -> Node:
        left = _f("subtract", x, _f("multiply", quotient, high))
        return _f("subtract", left, _f("multiply", quotient, low))

    ratio = _f("multiply", a, inverse)
    coarse = _f("multiply", _rounded(_f("multiply", ratio, number(1.0 / STAGE))), number(STAGE))
    rest = rest_of(a, coarse)
    fine = _near(_f("multiply", rest, inverse))
    rest = rest_of(rest, fine)
    if site.op.kind == "floor_divide":
        quotient = _f("subtract", _f("add", coarse, fine), _off(rest, b))
        if isinstance(divisor, Fold):
            return quotient
        return node("select", node("equal", divisor, number(0.0)), ratio, quotient)
    side, step = b, divisor
    if site.op.kind == "fmod":
        side, step = a, _f("multiply", _size(divisor), _sign(a))
    return node("select", _off(rest, side), _f("add", rest, step), rest)


def _division(site: Site) -> Pattern:
    if site.result.is_float:
        return _of_floats(site)
    if all(r.within(NARROW) for r in site.inputs):
        return _narrow(site)
    return _wide(site)


DIVISIONS: Mapping[str, Callable[[Site], Pattern]] = dict.fromkeys(
    ("floor_divide", "remainder", "fmod"), _division
)
