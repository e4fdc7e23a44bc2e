"""Functions that move data, from the kernel to the simulator's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.dtypes import dtype as dtype_named
from tests.api.functions import assert_same, normal
from tests.frontend.test_products import EINSUMS, PRODUCTS, REDUCTIONS, Shapes
from tests.frontend.test_rearrange import CASES

numpy: Any = np


@pytest.mark.parametrize("case", CASES)
def test_rearranged(case: str) -> None:
    shape, function = CASES[case]
    assert_same(function, [normal(*shape)])


@pytest.mark.parametrize(("labels", "shapes"), EINSUMS)
def test_einsum(labels: str, shapes: Shapes) -> None:
    def fn(*xs: Any) -> Any:
        return numpy.einsum(labels, *xs)

    assert_same(fn, [normal(*s, seed=k) for k, s in enumerate(shapes)])


@pytest.mark.parametrize("case", PRODUCTS)
def test_products(case: str) -> None:
    shapes, function = PRODUCTS[case]
    assert_same(function, [normal(*s, seed=k) for k, s in enumerate(shapes)])


@pytest.mark.parametrize("case", REDUCTIONS)
def test_reductions(case: str) -> None:
    assert_same(REDUCTIONS[case], [normal(2, 3, 4)])


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_what_is_turned_round_may_be_computed_with(axis: Any) -> None:
    def fn(x: Any) -> Any:
        return numpy.flip(x * 2, axis) + x

    assert_same(fn, [normal(130, 70)])


REORDERED = (
    ((300, 3, 4, 16), (0, 2, 3, 1), "float32"),
    ((300, 3, 4, 16), (0, 3, 2, 1), "bfloat16"),
    ((129, 5, 7, 2, 3), (0, 4, 2, 1, 3), "int32"),
    ((1, 40, 30), (0, 2, 1), "float32"),
    ((128, 40, 30), (0, 2, 1), "int8"),
)


@pytest.mark.parametrize(("shape", "axes", "dtype"), REORDERED)
def test_free_dims_change_places(shape: tuple[int, ...], axes: Any, dtype: str) -> None:
    def fn(x: Any) -> Any:
        return numpy.transpose(x, axes)

    drawn = np.random.default_rng(0).integers(-100, 100, shape)
    assert_same(fn, [drawn.astype(dtype_named(dtype).numpy)])


def test_a_transpose_inside_the_rows_is_two_long_dmas_and_copies() -> None:
    def fn(x: Any) -> Any:
        return numpy.transpose(x, (0, 2, 3, 4, 1))

    kernel = cp.compile(fn, cp.spec((1152, 3, 2, 16, 16), "bfloat16"), effort="fast").kernel
    counts = cp.count(kernel)
    assert counts.instructions <= 40
    assert counts.ratio <= 1.01
    assert cp.estimate(kernel).latency_ns < 25_000


def test_what_was_made_in_one_order_is_stored_in_another() -> None:
    def fn(x: Any) -> Any:
        y = numpy.exp(x)
        return y, numpy.transpose(y, (0, 2, 1))

    assert_same(fn, [normal(256, 24, 48)])


def test_one_row_is_held_in_two_orders() -> None:
    def fn(x: Any, y: Any) -> Any:
        product = x * y
        return numpy.transpose(product, (2, 0, 1)), numpy.reshape(product, (7, 3))

    assert_same(fn, [normal(7, 1, 3), normal(1)])
