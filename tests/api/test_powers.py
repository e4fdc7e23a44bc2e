"""Powers and products as numpy has them: of floats, and of integers modulo their range."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.api.functions import assert_same, normal, whole
from tests.api.integers import assert_equal, integers

Fn = Callable[..., Any]

OF_FLOATS: dict[str, Fn] = {
    "positive bases": lambda a, b: np.abs(a) ** b,
    "whole exponents": lambda a, b: a ** np.rint(b),
    "a number": lambda a, b: np.abs(a) ** 1.7 + 2.0**b,
    "whole numbers": lambda a, b: a**11 + b**-3,
}


@pytest.mark.parametrize("function", OF_FLOATS.values(), ids=OF_FLOATS.keys())
def test_powers_of_floats(function: Fn) -> None:
    assert_same(function, [normal(5, 40) / 3, normal(5, 40, seed=1)])


def test_whole_powers_are_exact() -> None:
    assert_same(lambda a, b: a**b, [whole(5, 40), np.abs(whole(5, 40, seed=1))], tolerance=0)


@pytest.mark.parametrize("exponent", [0, 1, 2, 5, 13])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int8"])
def test_powers_of_integers(dtype: str, exponent: int) -> None:
    assert_equal(lambda a: a**exponent, [integers(dtype, 5, 40)])


@pytest.mark.parametrize("base", ["int32", "uint8"])
def test_exponents_in_a_tensor(base: str) -> None:
    exponents = np.random.default_rng(0).integers(0, 40, (5, 40)).astype(np.uint8)
    assert_equal(lambda a, b: a**b, [integers(base, 5, 40), exponents])
    assert_equal(lambda b: 3**b, [exponents])


@pytest.mark.parametrize("axis", [0, 1, (0, 2), None])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int16"])
def test_products(dtype: str, axis: Any) -> None:
    odd = integers(dtype, 3, 7, 5) | np.asarray(1, dtype)
    assert_equal(lambda a: np.prod(a, axis=axis), [odd])
