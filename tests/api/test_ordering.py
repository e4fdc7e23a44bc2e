"""Places of extremes, largest elements and sorting, from the kernel to the simulator's arrays."""

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
from nkigen_cp.workloads import WORKLOADS
from tests.api.functions import assert_same, normal, through, whole

Fn = Callable[[Any], Any]
EXTREMES: dict[str, Fn] = {
    "argmax": lambda a: np.argmax(a, axis=-1),
    "argmin": lambda a: np.argmin(a, axis=-1),
    "of the first": lambda a: np.argmax(a, axis=0),
    "of all": np.argmin,
    "methods": lambda a: a.argmax(axis=1) + a.argmin(axis=-1),
    "keepdims": lambda a: np.argmax(a, axis=0, keepdims=True),
    "of all, keepdims": lambda a: np.argmax(a, keepdims=True),
    "of a sum": lambda a: np.argmin(a + a.T, axis=0),
}


def tied(*shape: int) -> Any:
    """Few different values, with infinities."""
    values = whole(*shape)
    values[values > 5] = np.inf
    values[values < -5] = -np.inf
    return values


def with_nan(*shape: int) -> Any:
    """Infinities and nan, also after an infinity and alone in a row."""
    values = tied(*shape)
    values[0, 5] = values[1, 3] = values[1, 7] = np.nan
    values[0, 0], values[2, :], values[3, :] = np.inf, np.nan, -np.inf
    return values


@pytest.mark.parametrize("values", [tied, with_nan])
@pytest.mark.parametrize("function", EXTREMES.values(), ids=EXTREMES.keys())
def test_places_of_extremes(function: Fn, values: Callable[..., Any]) -> None:
    assert_same(function, [values(20, 20)])


@pytest.mark.parametrize("shape", [(1,), (1, 1), (5,), (200, 7), (2, 1, 129), (2, 3, 1, 5, 4)])
@pytest.mark.parametrize("axis", [0, -1, None])
def test_places_in_any_rank(shape: tuple[int, ...], axis: int | None) -> None:
    assert_same(lambda a: np.argmax(a, axis=axis), [whole(*shape)])


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.int32, np.int8, np.uint8, np.bool_])
def test_places_in_any_dtype(dtype: Any) -> None:
    assert_same(lambda a: np.argmax(a, axis=0), [np.abs(whole(9, 30)).astype(dtype)])


@pytest.mark.parametrize("size", [4500, 20011])
def test_places_in_long_rows(size: int) -> None:
    assert_same(lambda a: np.argmax(a, axis=1), [tied(3, size)])


def test_places_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="argmax of no elements"):
        cp.trace(np.argmax, np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("k", [1, 2, 8, 11, 40])
@pytest.mark.parametrize("is_ascend", [False, True])
def test_largest_are_stable(k: int, is_ascend: bool) -> None:
    assert_same(lambda a: cp.ops.topk(a, k, is_ascend=is_ascend), [tied(6, 40)])


@pytest.mark.parametrize(
    ("shape", "axis", "k"),
    [((1,), 0, 1), ((3, 1), 1, 1), ((5,), 0, 5), ((140, 9), 0, 3), ((2, 3, 1, 30), -1, 9)],
)
def test_largest_along_any_axis(shape: tuple[int, ...], axis: int, k: int) -> None:
    assert_same(lambda a: cp.ops.topk(a, k, axis), [whole(*shape)])


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.int32, np.int8, np.uint16])
def test_largest_keep_their_dtype(dtype: Any) -> None:
    x = np.abs(whole(4, 50)).astype(dtype)
    values, places = through(lambda a: cp.ops.topk(a, 12), [x])
    want = np.argsort(-x.astype(np.float32), axis=1, kind="stable")[:, :12]
    assert (values.dtype, places.dtype) == (x.dtype, np.dtype(np.uint32))
    np.testing.assert_array_equal(places, want)
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, axis=1))


@pytest.mark.parametrize(("shape", "k"), [((1, 5000), 10), ((2, 20011), 3)])
def test_largest_of_long_rows(shape: tuple[int, ...], k: int) -> None:
    assert_same(lambda a: cp.ops.topk(a, k), [tied(*shape)])


@pytest.mark.parametrize(("k", "text"), [(0, "k=0 of axis 1"), (41, "1 to 40 allowed")])
def test_more_than_there_are_is_refused(k: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cp.trace(lambda a: cp.ops.topk(a, k), normal(3, 40))


SORTED: dict[str, Fn] = {
    "sort": np.sort,
    "sort of the first": lambda a: np.sort(a, axis=0),
    "sort of all": lambda a: np.sort(a, axis=None),
    "argsort": lambda a: np.argsort(a, axis=-1, kind="stable"),
    "method": lambda a: a.argsort(axis=0, kind="stable"),
    "of a product": lambda a: np.sort(a * 2 + 1),
}


@pytest.mark.parametrize("function", SORTED.values(), ids=SORTED.keys())
@pytest.mark.parametrize("values", [tied, with_nan])
def test_sorting(function: Fn, values: Callable[..., Any]) -> None:
    assert_same(function, [values(12, 21)])


@pytest.mark.parametrize("shape", [(1,), (3,), (140, 2, 9)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int16])
def test_sorting_in_any_rank_and_dtype(shape: tuple[int, ...], dtype: Any) -> None:
    assert_same(lambda a: np.argsort(a, kind="stable"), [whole(*shape).astype(dtype)])
    assert_same(lambda a: np.sort(a, axis=0), [whole(*shape).astype(dtype)])


@pytest.mark.parametrize("name", ["argmax_128x1024", "topk8_128", "topk1_vocab_1x37984"])
def test_workloads(name: str) -> None:
    workload = WORKLOADS[name]
    assert_same(lambda x: workload.function(x, **workload.static), workload.make_inputs())
