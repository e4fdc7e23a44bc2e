# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Integers through the whole pipeline: exact above 2**24, and wrapping as numpy's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.integers import DTYPES, assert_equal, integers, pair

Fn = Callable[..., Any]
numpy: Any = cast("Any", np)

OF_TWO: dict[str, Fn] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": lambda a, b: a == b,
    "not equal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "at least": lambda a, b: a >= b,
    "bits": lambda a, b: (a & b) | ~a ^ b,
    "shifts by tensors": lambda a, b: (a << (b & 7)) ^ (a >> (b & 7)),
    "where": lambda a, b: numpy.where(a > b, a, b),
}
OF_ONE: dict[str, Fn] = {
    "numbers": lambda a: (a + 5) * 3 - 7,
    "a number first": lambda a: 3 - a,
    "negative": lambda a: -a,
    "absolute": abs,
    "sign": np.sign,
    "square": np.square,
    "shifts": lambda a: (a << 3) ^ (a >> 2),
    "a shifted number": lambda a: 1 << (a & 7),
    "clip": lambda a: numpy.clip(a, 2, 100),
    "relu": lambda a: np.maximum(a, 0),
    "where a number": lambda a: numpy.where(a > 3, a, 7),
    "compared with a number": lambda a: (a < 5) | (a == 100),
    "sum": lambda a: np.sum(a, axis=1),
    "sum of all": np.sum,
    "max": lambda a: np.max(a, axis=1),
    "min": lambda a: np.min(a, axis=0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", OF_TWO.values(), ids=OF_TWO.keys())
def test_functions_of_two(function: Fn, dtype: str) -> None:
    assert_equal(function, pair(dtype, 5, 40))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", OF_ONE.values(), ids=OF_ONE.keys())
def test_functions_of_one(function: Fn, dtype: str) -> None:
    assert_equal(function, [integers(dtype, 5, 40)])


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("result", [*DTYPES, "bool", "float32"])
def test_casts_wrap(source: str, result: str) -> None:
    assert_equal(lambda a: a.astype(result), [integers(source, 5, 40)])


@pytest.mark.parametrize("shape", [(), (1,), (129,), (2, 1, 3), (200, 7), (2, 3, 1, 5, 4)])
def test_shapes_of_any_rank(shape: tuple[int, ...]) -> None:
    assert_equal(lambda a, b: (a + b, a < b, a - b), pair("int32", *shape))


@pytest.mark.parametrize("count", [1, 2, 257, 5000])
@pytest.mark.parametrize("dtype", ["int32", "int16", "bool"])
def test_sums_of_any_length(dtype: str, count: int) -> None:
    values = np.full((3, count), np.iinfo(dtype).max if dtype != "bool" else 1, dtype)
    assert_equal(lambda a: np.sum(a, axis=1), [values])


def test_dtypes_mix() -> None:
    arrays = [integers("int32", 4, 30), integers("int16", 4, 30), integers("uint8", 4, 30)]
    assert_equal(lambda a, b, c: (a + b, b * c, a * c, b < a, a & b, b - c), arrays)


def test_broadcast_rows_and_columns() -> None:
    a, b = integers("int32", 1, 40), integers("int32", 30, 1, seed=1)
    assert_equal(lambda a, b: (a + b, a * b, np.maximum(a, b)), [a, b])


@pytest.mark.parametrize("dtype", ["int32", "int16", "uint8", "uint32"])
def test_floats_are_truncated(dtype: str) -> None:
    top = min(int(np.iinfo(dtype).max), 2**31 - 200)
    low = max(int(np.iinfo(dtype).min), -top)
    random = np.random.default_rng(0)
    values = np.asarray(random.uniform(low, top, (6, 50)), np.float32)
    values[0, :6] = np.asarray([0.5, 1.5, 2.5, 0.999, 7.0, 0.0]) * (1 if low == 0 else -1)
    assert_equal(lambda a: (a.astype(dtype), a.astype(bool)), [values])


def test_booleans_are_logical() -> None:
    random = np.random.default_rng(0)
    a, b = (random.integers(0, 2, (5, 40)).astype(bool) for _ in range(2))
    assert_equal(lambda a, b: (a + b, a * b, a & True, a ^ b, a << b, a + 1), [a, b])


def test_bits_of_floats_are_refused() -> None:
    with pytest.raises(TypeError, match=r"(?s)bitwise_and takes integers.*test_integers"):
        cp.trace(lambda a: a & 1, np.ones((2, 3), np.float32))


def test_wide_inputs_narrow_with_one_warning() -> None:
    a, b = np.arange(-20, 20).reshape(4, 10), np.arange(40.0).reshape(4, 10)
    with pytest.warns(UserWarning, match="64-bit") as caught:
        graph = cp.trace(lambda a, b: (a * 3, b + 1), a, b)
    assert len(caught) == 1
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    got: Any = cp.simulate(kernel, a, b)
    assert [r.dtype.name for r in got] == ["int32", "float32"]
    np.testing.assert_array_equal(got[0], a * 3)
    with pytest.raises(cp.ArgumentError, match=r"'a' has values outside int32"):
        cp.simulate(kernel, a + 2**40, b)


def test_extremes_of_rows_that_come_in_parts() -> None:
    values = integers("int8", 128, 2**18)
    assert_equal(lambda a: (np.max(a, axis=1), np.min(a, axis=1)), [values])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "uint32"])
def test_sums_wrap_in_the_type_they_are_asked_in(dtype: str) -> None:
    assert_equal(
        lambda a: (np.sum(a, axis=0, dtype=dtype), np.sum(a, axis=1, dtype=dtype)),
        [integers(dtype, 20, 30)],
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_kernels(seed: int) -> None:
    random = np.random.default_rng(seed)
    steps = [*OF_TWO.values()]
    chosen = [(int(k), *random.random(2)) for k in random.integers(0, len(steps), 4)]
    dtype = str(random.choice(["int32", "int16", "uint8", "uint32"]))

    def kernel(a: Any, b: Any) -> Any:
        values = [a, b]
        for k, i, j in chosen:
            pair = (values[int(i * len(values))], values[int(j * len(values))])
            values.append(steps[k](*pair).astype(dtype))
        return values[-1] + np.sum(values[-2], axis=0, dtype=dtype)

    assert_equal(kernel, pair(dtype, 5, 17))
