"""Convolutions from the kernel to the simulator's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import assert_same, normal

Shape = tuple[int, ...]
CASES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "1d": ((1, 4, 20), (5, 4, 3), {}),
    "1d, padded, in steps": ((2, 4, 20), (5, 4, 3), {"padding": 1, "stride": 2}),
    "1d, of one place": ((1, 130, 7), (3, 130, 1), {"stride": 3}),
    "1d, one output": ((1, 3, 8), (4, 3, 8), {}),
    "2d, dilated": ((1, 3, 9, 10), (4, 3, 3, 3), {"padding": 1, "dilation": 2}),
    "2d, in groups": ((1, 4, 10, 10), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "2d, by channel": ((1, 6, 8, 8), (6, 1, 3, 3), {"groups": 6}),
    "2d, steps of the kernel": ((2, 3, 12, 10), (5, 3, 3, 2), {"stride": (3, 2)}),
    "2d, steps that leave a rest": ((1, 3, 13, 11), (5, 3, 3, 2), {"stride": (3, 2)}),
    "2d, steps beyond the kernel": ((1, 3, 13, 11), (5, 3, 2, 2), {"stride": 3}),
    "2d, different along dims": ((1, 2, 8, 9), (3, 2, 2, 3), {"stride": (1, 2), "padding": (0, 1)}),
    "3d": ((1, 3, 4, 6, 5), (4, 3, 2, 3, 3), {"padding": 1}),
    "3d, patches": ((1, 3, 4, 8, 8), (130, 3, 2, 4, 4), {"stride": (2, 4, 4)}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_convolutions(case: tuple[Shape, Shape, dict[str, Any]]) -> None:
    x, weight, options = case
    function = {3: cp.ops.conv1d, 4: cp.ops.conv2d, 5: cp.ops.conv3d}[len(x)]

    def kernel(x: Any, weight: Any) -> Any:
        return function(x, weight, **options)

    assert_same(kernel, [normal(*x), normal(*weight, seed=1)], tolerance=2e-4)


def test_bias_and_neighbours() -> None:
    def kernel(x: Any, weight: Any, bias: Any) -> Any:
        y = cp.ops.conv2d(np.maximum(x, 0), weight, bias, padding=1)
        return np.maximum(y, 0) + x

    arrays = [normal(1, 4, 7, 9), normal(4, 4, 3, 3, seed=1), normal(4, seed=2)]
    assert_same(kernel, arrays, tolerance=2e-4)


def test_the_reference_is_a_sum_of_products() -> None:
    x, weight = normal(1, 2, 5), normal(3, 2, 2, seed=1)
    made = cp.ops.conv1d(x, weight, stride=2, padding=(1,))
    assert made.shape == (1, 3, 3)
    np.testing.assert_allclose(made[0, 2, 0], weight[2, :, 1] @ x[0, :, 0], rtol=1e-5)
    np.testing.assert_allclose(made[0, 1, 1], np.sum(weight[1] * x[0, :, 1:3]), rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((1, 2, 5), (3, 2, 2, 2), {}, "must have 3 dims"),
        ((1, 2, 5), (3, 1, 2), {}, "must have 1 channels"),
        ((1, 2, 5), (3, 1, 2), {"groups": 2}, "divide"),
        ((1, 2, 5), (3, 2, 6), {}, "larger than the padded input"),
        ((1, 2, 5), (3, 2, 2), {"stride": 0}, "stride 0 must be a number of at least 1"),
        ((1, 2, 5), (3, 2, 2), {"padding": (1, 1)}, "padding"),
        ((1, 2, 5), (3, 2, 2), {"bias": np.ones(2)}, "does not fit 3 outputs"),
    ],
)
def test_what_does_not_fit(x: Shape, weight: Shape, options: dict[str, Any], message: str) -> None:
    def kernel(x: Any, weight: Any) -> Any:
        return cp.ops.conv1d(x, weight, **options)

    with pytest.raises(ValueError, match=message):
        cp.trace(kernel, normal(*x), normal(*weight))
