"""Floor division and remainders as numpy has them, for all signs and at exact quotients."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.api.functions import assert_same, normal
from tests.api.integers import DTYPES, assert_equal, integers, pair

Fn = Callable[..., Any]
Array = Any

FUNCTIONS: dict[str, Fn] = {
    "floor_divide": lambda a, b: a // b,
    "remainder": lambda a, b: a % b,
    "fmod": np.fmod,
}
WITH_NUMBERS: dict[str, Fn] = {
    "floor_divide": lambda a: a // 7,
    "fmod": lambda a: np.fmod(a, 3),
    "of a number": lambda a: 7 // a,
    "divmod": lambda a: divmod(a, 10),
}


def operands() -> list[Array]:
    """Floats of both signs; quotients that are whole, just below whole, large, and not finite."""
    a, b = normal(8, 40) * np.float32(30), normal(8, 40, seed=1)
    a[1], b[1] = np.rint(a[1]), np.rint(b[1]) + np.float32(0.5)
    b[2] = np.where(np.rint(b[2]) == 0, 1, np.rint(b[2]))
    a[2] = b[2] * np.rint(a[2])
    a[3], b[3] = np.arange(40), 0.1
    a[4] = np.clip(a[4] * 1e4, -(2.0**21), 2.0**21)
    b[4] = np.where(b[4] < 0, -1.25, 3.0)
    a[5, :9] = [np.inf, -np.inf, np.nan, 1, 1, -1, 0, 3, -3]
    b[5, :9] = [1, 1, 1, np.inf, -np.inf, np.inf, 2, 0, 0]
    return [a, b]


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_floats(function: Fn) -> None:
    assert_same(function, operands(), tolerance=1e-6)


@pytest.mark.parametrize("function", WITH_NUMBERS.values(), ids=WITH_NUMBERS.keys())
def test_floats_and_numbers(function: Fn) -> None:
    values = np.asarray(np.arange(-60, 60).reshape(4, 30) + 0.5, np.float32)
    values[0] = 14
    assert_same(function, [values], tolerance=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_integers(function: Fn, dtype: str) -> None:
    a, b = pair(dtype, 6, 40)
    b[3:] = b[3:] % np.asarray(9, dtype)  # zeros among them
    assert_equal(function, [a, b])


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int8"])
@pytest.mark.parametrize("function", WITH_NUMBERS.values(), ids=WITH_NUMBERS.keys())
def test_integers_and_numbers(function: Fn, dtype: str) -> None:
    assert_equal(function, [integers(dtype, 5, 40)])
