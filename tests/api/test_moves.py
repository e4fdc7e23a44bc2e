"""Functions that move data, from the kernel to the simulator's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
