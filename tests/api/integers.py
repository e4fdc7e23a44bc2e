"""Arrays of integers that are easy to get wrong, and results that have to be equal to numpy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.tensor.promotion import NARROWED

Array = Any
DTYPES = ("int32", "uint32", "int16", "uint16", "int8", "uint8")


def extremes(dtype: str) -> Array:
    """The ends of the type's range, what float32 rounds to its neighbour, and small numbers."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    values = [low, low + 1, high, high - 1, high // 2, high // 2 + 1]
    values += [2**24, 2**24 + 1, -(2**24) - 1, 2**16, 0, 1, -1, 2, -2, 7, -7, 100]
    return np.asarray([v for v in values if low <= v <= high], dtype)


def integers(dtype: str, *shape: int, seed: int = 0) -> Array:
    """Integers of the whole range, the first of them extremes in an order of their own."""
    random = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    values: Array = random.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    special = extremes(dtype)
    random.shuffle(special)
    first = values.reshape(-1)
    first[: special.size] = special[: values.size]
    return values


def pair(dtype: str, *shape: int) -> list[Array]:
    """Two such arrays; many elements of the second equal the first's or are next to them."""
    a, b = integers(dtype, *shape), integers(dtype, *shape, seed=1)
    near = np.random.default_rng(2).integers(0, 4, shape)
    where: Any = np.where
    return [a, where(near == 0, a, where(near == 1, a ^ np.asarray(1, dtype), b))]


def assert_equal(function: Callable[..., Any], arrays: Sequence[Array]) -> None:
    """The pipeline gives exactly numpy's integers, in numpy's dtype narrowed to 32 bits."""
    with np.errstate(all="ignore"):
        wanted: Any = function(*arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = cp.trace(function, *arrays)
    got: Any = cp.simulate(cp.lower(cp.solve(graph, effort="fast")), *arrays)
    if not isinstance(wanted, tuple):
        got, wanted = [got], [wanted]
    results: list[Any] = [*wanted]
    for mine, theirs in zip(got, results, strict=True):
        want: Array = np.asarray(theirs)
        want = want.astype(NARROWED.get(want.dtype.name, want.dtype.name))
        assert mine.dtype == want.dtype
        np.testing.assert_array_equal(mine, want)
