"""The rewrite rules: one row each, and the conditions they name."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from nkigen_cp.ir.rewrite.formulas import FLOAT32_MAX, FORMULAS
from nkigen_cp.ir.rewrite.pattern import Fold, Match, Node, Number, Pattern, Rule, Var, node
from nkigen_cp.ir.tensor.graph import Operand

X, Y = Var("x"), Var("y")
A, B = Number("a"), Number("b")
ONE, HALF, MINUS_ONE = Number("one", 1.0), Number("half", 0.5), Number("minus_one", -1.0)

FLOAT32_TINY = 2.0**-126


def _inverse(value: float) -> float:
    """1 / value as float arithmetic has it: infinite at zero."""
    return math.copysign(math.inf, value) if value == 0 else 1.0 / value


def _minus(value: float) -> float:
    return -value


def _negate(pattern: Pattern) -> Node:
    return node("multiply", pattern, Fold(lambda: -1.0))


def _scaled(pattern: Pattern, value: float) -> Node:
    """In a pattern: ``pattern * value``."""
    return node("multiply", pattern, Number(f"scale_{value!r}", value))


_MINUS_Y = node("multiply", Y, MINUS_ONE)

COMPOSITES: tuple[Rule, ...] = (
    Rule(
        name="negative",
        pattern=node("negative", X),
        template=_negate(X),
        when=("float_result",),
    ),
    Rule(
        name="negative of integers",
        pattern=node("negative", X),
        template=node("subtract", Fold(lambda: 0), X),
    ),
    Rule(
        name="divide by number",
        pattern=node("divide", X, A),
        template=node("multiply", X, Fold(_inverse, ("a",))),
    ),
    Rule(name="one divided", pattern=node("divide", ONE, X), template=node("reciprocal", X)),
    Rule(
        name="divide",
        pattern=node("divide", X, Y),
        template=node("multiply", X, node("reciprocal", Y)),
    ),
    Rule(
        name="mean",
        pattern=node("mean", X),
        template=node("multiply", node("sum", X), Fold(_inverse, ("count",))),
    ),
)


def _product(exponent: int) -> Node | Var:
    """``x ** exponent`` for exponent >= 1 by squaring."""
    if exponent == 1:
        return X
    half = _product(exponent // 2)
    squared = node("multiply", half, half)
    return node("multiply", squared, X) if exponent % 2 else squared


def _power(exponent: float, template: Node | Var, *when: str) -> Rule:
    return Rule(
        name=f"power {exponent:g}",
        pattern=node("power", X, Number("exponent", exponent)),
        template=template,
        when=when,
    )


POWERS: tuple[Rule, ...] = (
    _power(0.5, node("sqrt", X)),
    _power(-0.5, node("rsqrt", X)),
    *(_power(n, _product(n)) for n in range(1, 9)),
    _power(-1, node("reciprocal", X), "float_result"),
    *(_power(-n, node("reciprocal", _product(n)), "float_result") for n in range(2, 5)),
)

NUMBERS: tuple[Rule, ...] = (
    Rule(
        name="subtract number",
        pattern=node("subtract", X, A),
        template=node("add", X, Fold(_minus, ("a",))),
        when=("float_result",),
    ),
    Rule(
        name="zero minus",
        pattern=node("subtract", Number("zero", 0.0), X),
        template=_negate(X),
        when=("float_result",),
    ),
    Rule(name="add zero", pattern=node("add", X, Number("a", 0.0)), template=X),
    Rule(name="multiply by one", pattern=node("multiply", X, ONE), template=X),
    Rule(
        name="two factors",
        pattern=node("multiply", node("multiply", X, A), B),
        template=node("multiply", X, Fold(operator.mul, ("a", "b"))),
        when=("float_result", "product_fits"),
    ),
    Rule(
        name="two summands",
        pattern=node("add", node("add", X, A), B),
        template=node("add", X, Fold(operator.add, ("a", "b"))),
        when=("float_result", "same_sign"),
    ),
    Rule(
        name="add negated",
        pattern=node("add", X, _MINUS_Y),
        template=node("subtract", X, Y),
        when=("tensors", "float_result"),
    ),
    Rule(
        name="subtract negated",
        pattern=node("subtract", X, _MINUS_Y),
        template=node("add", X, Y),
        when=("tensors", "float_result"),
    ),
)

_EXP_MINUS_X = node("exp", node("multiply", X, MINUS_ONE))

FUNCTIONS: tuple[Rule, ...] = (
    Rule(
        name="square",
        pattern=node("multiply", X, X),
        template=node("square", X),
        when=("float_result",),
    ),
    Rule(name="rsqrt", pattern=node("reciprocal", node("sqrt", X)), template=node("rsqrt", X)),
    Rule(
        name="sqrt of reciprocal",
        pattern=node("sqrt", node("reciprocal", X)),
        template=node("rsqrt", X),
    ),
    Rule(
        name="sigmoid",
        pattern=node("reciprocal", node("add", _EXP_MINUS_X, ONE)),
        template=node("sigmoid", X),
    ),
    Rule(
        name="silu",
        pattern=node("multiply", X, node("sigmoid", X)),
        template=node("silu", X),
    ),
)


def _gelu_tanh_rules() -> tuple[Rule, ...]:
    """``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`` in the ways people write the products."""
    cubes = (
        _scaled(node("multiply", node("square", X), X), 0.044715),
        node("multiply", node("multiply", _scaled(X, 0.044715), X), X),
        node("multiply", node("square", X), _scaled(X, 0.044715)),
    )
    rules: list[Rule] = []
    for cube in cubes:
        inside = _scaled(node("add", X, cube), math.sqrt(2.0 / math.pi))
        gate = node("add", node("tanh", inside), ONE)
        products = (
            node("multiply", _scaled(X, 0.5), gate),
            node("multiply", X, _scaled(gate, 0.5)),
            _scaled(node("multiply", X, gate), 0.5),
        )
        rules += [
            Rule(name="gelu by tanh", pattern=p, template=node("gelu_tanh", X)) for p in products
        ]
    return tuple(rules)


RULES: tuple[Rule, ...] = (
    *COMPOSITES,
    *FORMULAS,
    *POWERS,
    *NUMBERS,
    *FUNCTIONS,
    *_gelu_tanh_rules(),
)


def _product_fits(match: Match) -> bool:
    product = match.number("a") * match.number("b")
    return product == 0 or FLOAT32_TINY <= abs(product) <= FLOAT32_MAX


def _same_sign(match: Match) -> bool:
    """Numbers of opposite signs may be a rounding trick: ``(x + 2**23) - 2**23``."""
    return match.number("a") * match.number("b") >= 0


CONDITIONS: Mapping[str, Callable[[Match], bool]] = {
    "float_result": lambda match: match.result.is_float,
    "tensors": lambda match: all(isinstance(match.captures[n], Operand) for n in ("x", "y")),
    "finite": lambda match: all(math.isfinite(match.number(n)) for n in ("a", "b")),
    "product_fits": _product_fits,
    "same_sign": _same_sign,
}
