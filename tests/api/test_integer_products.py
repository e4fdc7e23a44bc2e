"""Products of integer matrices, from the arrays to the simulator's: exact, wrapping as numpy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import through

numpy: Any = np
Shape = tuple[int, ...]


def drawn(dtype: str, *shape: int, seed: int = 0, most: int | None = None) -> Any:
    """Integers over all of the type's range, or of a magnitude."""
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if most is None else (max(info.min, -most), most)
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(dtype)


def assert_exact(function: Callable[..., Any], arrays: list[Any]) -> None:
    """Bit by bit what numpy gives in 64 bits, cut to the result's type."""
    want = np.asarray(function(*[a.astype(np.int64) for a in arrays]))
    kind = np.result_type(*arrays)
    kind = np.dtype(f"{kind.kind}4") if kind.itemsize > 4 else kind
    (got,) = through(function, arrays)
    assert got.dtype == kind
    np.testing.assert_array_equal(got, want.astype(kind))


@pytest.mark.parametrize(
    "kinds", ["int8 int8", "uint8 uint8", "uint32 uint32", "uint16 int8", "int8 int32"]
)
def test_all_values_of_a_type(kinds: str) -> None:
    first, second = kinds.split()
    assert_exact(np.matmul, [drawn(first, 7, 40), drawn(second, 40, 9, seed=1)])


SHAPES: dict[str, tuple[Shape, Shape]] = {
    "vectors": ((300,), (300,)),
    "batches": ((3, 1, 20), (1, 20, 6)),
    "long": ((4, 3000), (3000, 3)),
    "nothing to add": ((4, 0), (0, 3)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str) -> None:
    a, b = SHAPES[case]
    assert_exact(np.matmul, [drawn("int16", *a), drawn("int8", *b)])


def test_labels_and_other_products() -> None:
    def fn(a: Any, b: Any) -> Any:
        return numpy.einsum("ij,kj->ik", a + 1, b) * 2 + numpy.tensordot(a, b.T, 1)

    assert_exact(fn, [drawn("int16", 6, 20), drawn("int8", 6, 20)])


def test_small_integers_take_one_matmul_of_halves() -> None:
    def wide(a: Any, b: Any) -> Any:
        return a.astype(np.int32) @ b.astype(np.int32)

    arrays = [drawn("int8", 64, 512), drawn("int8", 512, 48, seed=1)]
    kernel = cp.lower(cp.solve(cp.trace(wide, *arrays), effort="fast"))
    assert cp.count(kernel).by_kind["nc_matmul"] <= 4  # one per 128 positions that are added
    np.testing.assert_array_equal(cp.simulate(kernel, *arrays), wide(*arrays))


def test_truth_and_floats_beside_integers() -> None:
    mask, other = drawn("uint8", 6, 20) > 200, drawn("uint8", 20, 5) > 128
    (got,) = through(np.matmul, [mask, other])
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got, mask @ other)
    whole, floats = drawn("int32", 6, 20, most=99), numpy.linspace(-1, 1, 60, dtype=np.float32)
    (got,) = through(np.matmul, [whole, floats.reshape(20, 3)])
    np.testing.assert_allclose(got, whole @ floats.reshape(20, 3), rtol=1e-5)
