"""Kernels over floats of eight bits, from the arrays to the simulator's arrays.

numpy computes such arrays in float32 and rounds after each function; sums and products accumulate
in float32 here and round once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import normal, through

Array = Any
Unary = Callable[[Any], Any]
Binary = Callable[[Any, Any], Any]
NATIVE = (np.dtype(ml_dtypes.float8_e4m3), np.dtype(ml_dtypes.float8_e5m2))
PARTNERS = ("float32", "float16", "bfloat16", "int32", "int8", "uint8")
CODES: Array = np.arange(256, dtype=np.uint8)


def every(dtype: Any) -> Array:
    """All values of the type, infinities and nan included."""
    return CODES.reshape(4, 64).view(dtype)


def finite(dtype: Any, *shape: int, seed: int = 0) -> Array:
    """Values around 0 that the type holds."""
    return normal(*shape, seed=seed).astype(dtype)


def assert_bits(got: Array, want: Array) -> None:
    """The same dtype, shape and bits; any nan equals any other."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    wrong = (got.view(np.uint8) != want.view(np.uint8)) & ~(np.isnan(got) & np.isnan(want))
    assert not wrong.any(), (got[wrong][:5], want[wrong][:5])


def assert_rounded(function: Callable[..., Any], arrays: Sequence[Array], want: Array) -> None:
    """The result is that of float64, within one rounding to its own type."""
    (got,) = through(function, arrays)
    assert got.shape == want.shape
    info = cast("Any", ml_dtypes.finfo(got.dtype))
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=float(info.eps), atol=1e-3)


def float64(arrays: Sequence[Array]) -> list[Array]:
    """The values themselves, in a type that numpy computes in."""
    return [a.astype(np.float64) for a in arrays]


def cast_to(dtype: Any) -> Unary:
    """A kernel that casts."""
    return lambda a: a.astype(dtype)


def matmul(a: Any, b: Any) -> Any:
    return a @ b


def wide_matmul(a: Any, b: Any) -> Any:
    return a.astype(np.float32) @ b.astype(np.float32)


def shifted(a: Any) -> Any:
    return a - 0.5


def twice(a: Any) -> Any:
    return a + a


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_every_value_widens_exactly(dtype: Any) -> None:
    values = every(dtype)
    (got,) = through(cast_to(np.float32), [values])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, values.astype(np.float32))


def rounding_cases(dtype: Any) -> Array:
    """Each finite value, the middles between neighbours, what lies beside them, and the ends."""
    codes = CODES.view(dtype).astype(np.float32)
    known = np.unique(codes[np.isfinite(codes)])
    middles = (known[1:] + known[:-1]) / 2
    near = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    top = known[-1] + (known[-1] - known[-2]) / 2
    ends = [np.nextafter(top, np.float32(side)) for side in (0, np.inf)]
    special = np.asarray([top, -top, *ends, 1e9, -1e9, 1e-9, -1e-9, np.inf, -np.inf, np.nan])
    values = np.concatenate([known[known != 0], middles, *near, special.astype(np.float32)])
    return np.asarray(np.resize(values, (8, 150)), np.float32)


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_casts_round_as_ml_dtypes(dtype: Any) -> None:
    values = rounding_cases(dtype)
    (got,) = through(cast_to(dtype), [values])
    assert_bits(got, values.astype(dtype))


@pytest.mark.parametrize("other", PARTNERS)
@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_casts_from_and_to_other_types(dtype: Any, other: Any) -> None:
    whole: Array = np.arange(14, dtype=np.float32)[None]
    (narrow,) = through(cast_to(dtype), [whole.astype(other)])
    assert_bits(narrow, whole.astype(dtype))
    (wide,) = through(cast_to(other), [whole.astype(dtype)])
    assert wide.dtype == np.dtype(other)
    np.testing.assert_array_equal(wide.astype(np.float32), whole.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_a_rounding_between_floats_is_kept(dtype: Any) -> None:
    values = normal(33, 20)

    def rounded_twice(a: Any) -> Any:
        return a.astype(dtype).astype(np.float32) * 2.0

    (got,) = through(rounded_twice, [values])
    np.testing.assert_array_equal(got, values.astype(dtype).astype(np.float32) * 2)


where: Any = np.where
concatenate: Any = np.concatenate
ELEMENTWISE: dict[str, Binary] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "maximum": np.maximum,
    "compare": lambda a, b: a > b,
    "where": lambda a, b: where(a > b, a, -b),
    "views": lambda a, b: concatenate([a, b], axis=1)[3:, 5:60],
    "transposed": lambda a, b: (a + b).T,
}


@pytest.mark.parametrize("function", ELEMENTWISE.values(), ids=ELEMENTWISE.keys())
@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_elementwise(dtype: Any, function: Binary) -> None:
    arrays = [finite(dtype, 130, 36), finite(dtype, 130, 36, seed=1)]
    want = function(*arrays)
    (got,) = through(function, arrays)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_numbers_are_weak(dtype: Any) -> None:
    values = finite(dtype, 7, 20)
    (got,) = through(shifted, [values])
    assert_bits(got, shifted(values).astype(dtype))


@pytest.mark.parametrize("shape", [(), (1,), (7, 1), (2, 3, 129)])
@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_shapes(dtype: Any, shape: tuple[int, ...]) -> None:
    values = np.asarray(finite(dtype, *shape))
    (got,) = through(twice, [values])
    np.testing.assert_array_equal(got.astype(np.float32), (values + values).astype(np.float32))


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_reductions_round_once(dtype: Any) -> None:
    values = finite(dtype, 64, 96)
    methods: tuple[Unary, ...] = (
        lambda a: a.sum(axis=-1),
        lambda a: a.max(axis=-1),
        lambda a: a.mean(axis=-1),
    )
    for method in methods:
        assert_rounded(method, [values], np.asarray(method(values.astype(np.float64))))


@pytest.mark.parametrize("shape", [(64, 96, 80), (7, 300, 129), (1, 256, 1000)], ids=str)
@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_matmul(dtype: Any, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    arrays = [(finite(dtype, *s, seed=s[0]) * 0.25).astype(dtype) for s in ((m, k), (k, n))]
    product = np.matmul(*float64(arrays))
    assert_rounded(matmul, arrays, product)
    assert_rounded(wide_matmul, arrays, product)


def test_matmul_of_two_types() -> None:
    a, b = finite(NATIVE[0], 40, 130), finite(NATIVE[1], 130, 70)
    assert_rounded(matmul, [a, b], np.matmul(*float64([a, b])))


def source_of(m: int, k: int, n: int, *dtypes: Any) -> str:
    """What a product of these sizes is compiled to, once it is shown to be right."""
    arrays = [finite(d, *s) for d, s in zip(dtypes, ((m, k), (k, n)), strict=True)]
    assert_rounded(wide_matmul, arrays, np.matmul(*float64(arrays)))
    return cp.emit_nki(cp.lower(cp.solve(cp.trace(matmul, *arrays), effort="fast")))


def test_the_tensor_engine_takes_native_operands() -> None:
    source = source_of(1, 96, 80, *NATIVE)
    assert "nisa.nc_matmul(" in source
    assert "nl.bfloat16" not in source


@pytest.mark.parametrize("shape", [(64, 256, 512), (130, 400, 96), (256, 1024, 600)], ids=str)
@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_long_contractions_take_two_rows_at_a_time(dtype: Any, shape: tuple[int, ...]) -> None:
    m, k, n = shape
    arrays = [finite(dtype, m, k), (finite(dtype, k, n, seed=1) * 0.1).astype(dtype)]
    plan = cp.solve(cp.trace(matmul, *arrays), effort="fast")
    kernel = cp.lower(plan)
    assert "perf_mode=nisa.matmul_perf_mode.double_row" in cp.emit_nki(kernel)
    assert "two rows at a time" in " ".join(plan.explain().split())
    assert_rounded(matmul, arrays, np.matmul(*float64(arrays)))


def test_one_row_at_a_time_where_the_mode_does_not_fit() -> None:
    assert "perf_mode" not in source_of(64, 128, 80, *NATIVE)  # one chunk
    assert "perf_mode" not in source_of(1, 512, 300, *NATIVE)  # one column
    assert "perf_mode" not in source_of(64, 512, 300, NATIVE[0], np.dtype(ml_dtypes.bfloat16))


def test_products_of_bytes_are_planned_in_less_time_than_those_of_halves() -> None:
    planned: dict[str, int] = {}
    bound: dict[str, float] = {}
    for name in ("float8_e4m3", "bfloat16"):
        arrays: list[Array] = [np.zeros((512, 1024), name), np.zeros((1024, 512), name)]
        plan = cp.solve(cp.trace(matmul, *arrays), effort="fast")
        planned[name] = plan.objective_ns
        bound[name] = cp.estimate(cp.lower(plan)).engine_bound_ns
    assert planned["float8_e4m3"] < planned["bfloat16"]
    assert bound["float8_e4m3"] == bound["bfloat16"] / 2
