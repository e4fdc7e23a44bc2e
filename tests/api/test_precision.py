"""Matmuls that may run narrower than their operands."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import TFLOAT32
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.numeric import cast
from nkigen_cp.simulate.compare import relative_error
from tests.api.functions import normal


def matmul(a: Any, b: Any) -> Any:
    return a @ b


def twice(a: Any, b: Any) -> Any:
    return np.tanh((a * 0.5) @ b) @ b.T


def kernel_of(function: Any, arrays: list[Any], precision: str) -> Kernel:
    graph = cp.trace(function, *arrays)
    return cp.lower(cp.solve(graph, effort="fast", matmul_precision=precision))


@pytest.mark.parametrize("function", [matmul, twice])
def test_each_precision_has_its_error(function: Any) -> None:
    arrays = [normal(70, 300) / 9, normal(300, 90, seed=1) / 9]
    want = function(*[a.astype(np.float64) for a in arrays])
    errors = {
        precision: relative_error(
            cp.simulate(kernel_of(function, arrays, precision), *arrays), want
        )
        for precision in ("exact", "tf32", "bf16")
    }
    assert errors["exact"] < 1e-5
    assert 1e-4 < errors["tf32"] < 2.5e-3
    assert 2.5e-3 < errors["bf16"] < 3e-2


def test_tf32_takes_one_pass() -> None:
    arrays = [normal(128, 512), normal(512, 512, seed=1)]
    kernels = {p: kernel_of(matmul, arrays, p) for p in ("exact", "tf32")}
    bound = {p: cp.estimate(k).engine_bound_ns for p, k in kernels.items()}
    assert bound["tf32"] < bound["exact"] / 1.5
    assert "nl.tfloat32" in cp.emit_nki(kernels["tf32"])
    assert "nl.tfloat32" not in cp.emit_nki(kernels["exact"])


def test_tf32_pairs_with_its_own_alone() -> None:
    arrays = [normal(20, 40), normal(40, 30, seed=1).astype(ml_dtypes.bfloat16)]
    want = arrays[0].astype(np.float64) @ arrays[1].astype(np.float64)
    got = cp.simulate(kernel_of(matmul, arrays, "tf32"), *arrays)
    assert relative_error(got, want) < 2.5e-3


def test_narrow_matmuls_stay_as_they_are() -> None:
    arrays = [normal(20, 40).astype(np.float16), normal(40, 30, seed=1).astype(np.float16)]
    assert "tfloat32" not in cp.emit_nki(kernel_of(matmul, arrays, "tf32"))


def test_tf32_as_a_type_of_the_program() -> None:
    def fn(a: Any, b: Any) -> Any:
        return a.astype("tf32") @ b.astype("tf32")

    arrays = [normal(20, 40), normal(40, 30, seed=1)]
    kernel = kernel_of(fn, arrays, "exact")
    rounded = [cast(a, TFLOAT32) for a in arrays]
    want = rounded[0].astype(np.float64) @ rounded[1].astype(np.float64)
    assert relative_error(cp.simulate(kernel, *arrays), want) < 1e-3
    assert "nl.tfloat32" in cp.emit_nki(kernel)


def test_ten_bits_half_to_even() -> None:
    step = np.float32(2.0**-10)
    values = np.asarray(
        [1, 1 + step / 2, 1 + 3 * step / 2, 1 + step / 2 + 2.0**-20, -1 - step / 4, np.inf, np.nan],
        np.float32,
    )
    want = np.asarray([1, 1, 1 + 2 * step, 1 + step, -1, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(cast(values, TFLOAT32), want)


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="'exact', 'tf32', 'bf16'"):
        kernel_of(matmul, [normal(4, 4), normal(4, 4)], "fp4")
