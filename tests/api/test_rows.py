"""Functions of whole rows, from the kernel to the simulator's arrays."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import assert_same, normal, whole

Fn = Callable[[Any], Any]
RUNNING: dict[str, Fn] = {
    "cumsum": lambda a: np.cumsum(a, axis=-1),
    "cumsum of the first": lambda a: np.cumsum(a, axis=0),
    "cumsum of all": np.cumsum,
    "method": lambda a: a.cumsum(axis=-1) * 2,
    "cumprod": lambda a: a.cumprod(axis=-1),
    "maximum": lambda a: np.maximum.accumulate(a, axis=-1),
    "minimum": np.minimum.accumulate,
    "of a product": lambda a: np.cumsum(a * a + 1, axis=-1),
    "of a broadcast row": lambda a: np.cumsum(np.broadcast_to(a[..., :1], a.shape), axis=-1),
    "of rows in reverse": lambda a: np.cumsum(a[..., ::-1], axis=-1),
    "of two dims as one": lambda a: np.cumsum(a.reshape(-1, 6), axis=-1).reshape(a.shape),
}


@pytest.mark.parametrize("function", RUNNING.values(), ids=RUNNING.keys())
def test_running_folds(function: Fn) -> None:
    assert_same(function, [normal(20, 36) / 8])


@pytest.mark.parametrize("shape", [(1,), (7,), (300, 5), (2, 1, 129), (2, 3, 4, 1, 9)])
@pytest.mark.parametrize("axis", [0, -1])
def test_running_sums_of_any_rank(shape: tuple[int, ...], axis: int) -> None:
    assert_same(lambda a: np.cumsum(a, axis=axis), [normal(*shape)])


@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.bool_])
def test_running_sums_of_integers(dtype: Any) -> None:
    assert_same(lambda a: np.cumsum(a, axis=-1), [whole(3, 37).astype(dtype)])


@pytest.mark.parametrize("function", [np.cumsum, np.cumprod])
def test_running_folds_of_narrow_integers_wrap(function: Any) -> None:
    x = np.abs(whole(3, 20)).astype(np.uint8) * 7
    assert_same(lambda a: function(a, axis=-1, dtype=np.uint8), [x])


def test_running_sums_of_bfloat16_add_up_in_float32() -> None:
    x = normal(4, 300).astype(ml_dtypes.bfloat16)
    plan = cp.solve(cp.trace(lambda a: np.cumsum(a, axis=-1), x), effort="fast")
    got = cp.simulate(cp.lower(plan), x)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, np.cumsum(x.astype(np.float32), axis=-1).astype(x.dtype))


@pytest.mark.parametrize("shape", [(10000,), (2, 20011)])
def test_running_sums_of_long_rows(shape: tuple[int, ...]) -> None:
    assert_same(lambda a: np.cumsum(a, axis=-1), [whole(*shape)])


def test_running_products_and_extremes_of_long_rows() -> None:
    x = np.exp2(np.random.default_rng(0).integers(-1, 2, (1, 9001))).astype(np.float32)
    assert_same(lambda a: np.cumprod(a, axis=-1), [np.where(np.arange(9001) % 9, 1, x)])
    assert_same(lambda a: np.minimum.accumulate(a, axis=-1), [normal(1, 9001)])
