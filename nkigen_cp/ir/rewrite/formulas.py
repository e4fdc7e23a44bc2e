"""Functions that no instruction computes, as formulas over those that one does.

Every formula keeps what float32 can hold: differences that would cancel are avoided, and branches
are chosen by ``select``, so that an infinity on the side not taken does no harm.
"""

from __future__ import annotations

import functools
import math

from nkigen_cp.ir.rewrite.pattern import Fold, Node, Number, Pattern, Rule, Var, node

X, Y = Var("x"), Var("y")

FLOAT32_MAX = 3.4028234663852886e38
SPLIT = 2.0**22
"""Floats above are whole numbers already, or nearly so that adding ``ROUNDER`` would not round."""
ROUNDER = 1.5 * 2.0**23
"""Added to a float of at most ``SPLIT``, it leaves no bits behind the point."""

TURN = (6.28125, 0.0019350051879882812, 3.019916050561733e-07)
"""Two pi in three parts; whole multiples of the first two are exact for some thousand turns."""


@functools.cache
def number(value: float) -> Fold:
    """A number of a formula."""
    return Fold(lambda: value)


def add(a: Pattern, b: Pattern | float) -> Node:
    """``a + b``."""
    return node("add", a, _pattern(b))


def sub(a: Pattern | float, b: Pattern) -> Node:
    """``a - b``."""
    return node("subtract", _pattern(a), b)


def mul(a: Pattern, b: Pattern | float) -> Node:
    """``a * b``."""
    return node("multiply", a, _pattern(b))


def _pattern(value: Pattern | float) -> Pattern:
    return number(float(value)) if isinstance(value, (int, float)) else value


def _test(kind: str, a: Pattern, b: Pattern | float) -> Node:
    return node(kind, a, _pattern(b))


def _if(condition: Pattern, a: Pattern, b: Pattern) -> Node:
    return node("select", condition, a, b)


def _sign(x: Pattern) -> Node:
    """-1 for negative numbers, else 1."""
    return add(mul(_test("less", x, 0.0), -2.0), 1.0)


def _abs(x: Pattern) -> Node:
    return node("abs", x)


def _inverse(x: Pattern) -> Node:
    return node("reciprocal", x)


def rounded(x: Pattern) -> Node:
    """To the nearest whole number, half to even; infinities and nan stay."""
    near = add(add(x, ROUNDER), -ROUNDER)
    return _if(_test("less", _abs(x), SPLIT), near, x)


def floored(x: Pattern) -> Node:
    """The largest whole number not above x."""
    whole = rounded(x)
    return sub(whole, node("greater", whole, x))


def _reduced(x: Pattern) -> Node:
    """X less whole turns, within [-pi, pi]."""
    turns = rounded(mul(x, 1.0 / (2.0 * math.pi)))
    for part in TURN:
        x = sub(x, mul(turns, part))
    half = 3.1415925  # the largest float32 below pi
    return node("minimum", node("maximum", x, number(-half)), number(half))


def _sin(x: Pattern) -> Node:
    return node("sine", _reduced(x))


def _cos(x: Pattern) -> Node:
    return node("sine", sub(math.pi / 2, _abs(_reduced(x))))


def _arctan(x: Pattern) -> Node:
    steep = _test("greater", _abs(x), 1.0)
    flat = node("arctangent", _if(steep, _inverse(x), x))
    return _if(steep, sub(mul(_sign(x), math.pi / 2), flat), flat)


def _arcsin(x: Pattern) -> Node:
    leg = node("sqrt", mul(sub(1.0, x), add(x, 1.0)))
    return _arctan(mul(x, _inverse(leg)))


def _expm1(x: Pattern) -> Node:
    half = node("tanh", mul(x, 0.5))
    near = mul(mul(half, 2.0), _inverse(sub(1.0, half)))
    return _if(_test("less", _abs(x), 0.5), near, add(node("exp", x), -1.0))


def _log1p(x: Pattern) -> Node:
    u = add(x, 1.0)
    log = node("log", u)
    corrected = mul(log, mul(x, _inverse(add(u, -1.0))))
    far = _if(_test("greater", x, SPLIT), log, corrected)
    return _if(_test("equal", u, 1.0), x, far)


def _sinh(x: Pattern) -> Node:
    e = _expm1(_abs(x))
    return mul(_sign(x), mul(add(e, mul(e, _inverse(add(e, 1.0)))), 0.5))


def _cosh(x: Pattern) -> Node:
    e = node("exp", _abs(x))
    return mul(add(e, _inverse(e)), 0.5)


def _cbrt(x: Pattern) -> Node:
    guess = node("exp", mul(node("log", _abs(x)), 1.0 / 3.0))
    better = mul(add(mul(guess, 2.0), mul(_abs(x), _inverse(node("square", guess)))), 1.0 / 3.0)
    zero, bounded = _test("equal", x, 0.0), _test("less_equal", _abs(x), FLOAT32_MAX)
    return _if(zero, x, _if(bounded, mul(_sign(x), better), x))


def _logaddexp(x: Pattern, y: Pattern) -> Node:
    high, gap = node("maximum", x, y), _abs(sub(x, y))
    same = node("equal", x, y)
    return _if(
        same,
        add(x, math.log(2.0)),
        add(high, _log1p(node("exp", mul(gap, -1.0)))),
    )


def _hypot(x: Pattern, y: Pattern) -> Node:
    high, low = node("maximum", _abs(x), _abs(y)), node("minimum", _abs(x), _abs(y))
    ratio = mul(low, _inverse(high))
    length = mul(high, node("sqrt", add(node("square", ratio), 1.0)))
    plain = node("logical_or", _test("equal", high, 0.0), _test("greater", high, FLOAT32_MAX))
    return _if(plain, high, length)


def _of_one(name: str, template: Node) -> Rule:
    return Rule(name=name, pattern=node(name, X), template=template)


FORMULAS: tuple[Rule, ...] = (
    _of_one("rint", rounded(X)),
    _of_one("floor", floored(X)),
    _of_one("ceil", add(rounded(X), node("less", rounded(X), X))),
    _of_one("trunc", mul(_sign(X), floored(_abs(X)))),
    _of_one("isnan", node("not_equal", X, X)),
    _of_one("isinf", _test("greater", _abs(X), FLOAT32_MAX)),
    _of_one("isfinite", _test("less_equal", _abs(X), FLOAT32_MAX)),
    _of_one("logical_not", _test("equal", X, 0.0)),
    _of_one("exp2", node("exp", mul(X, math.log(2.0)))),
    _of_one("expm1", _expm1(X)),
    _of_one("log1p", _log1p(X)),
    _of_one("log2", mul(node("log", X), 1.0 / math.log(2.0))),
    _of_one("log10", mul(node("log", X), 1.0 / math.log(10.0))),
    _of_one("cbrt", _cbrt(X)),
    _of_one("sin", _sin(X)),
    _of_one("cos", _cos(X)),
    _of_one("tan", mul(_sin(X), _inverse(_cos(X)))),
    _of_one("arctan", _arctan(X)),
    _of_one("arcsin", _arcsin(X)),
    _of_one("arccos", sub(math.pi / 2, _arcsin(X))),
    _of_one("sinh", _sinh(X)),
    _of_one("cosh", _cosh(X)),
    Rule(
        name="select of numbers",
        pattern=node("select", X, Number("a"), Number("b")),
        template=add(mul(X, Number("a")), mul(_test("equal", X, 0.0), Number("b"))),
        when=("finite",),
    ),
    Rule(
        name="select of infinities",
        pattern=node("select", X, Number("a"), Number("b")),
        template=_if(X, add(mul(_test("equal", X, 0.0), 0.0), Number("a")), Number("b")),
    ),
    Rule(name="logaddexp", pattern=node("logaddexp", X, Y), template=_logaddexp(X, Y)),
    Rule(name="hypot", pattern=node("hypot", X, Y), template=_hypot(X, Y)),
)
