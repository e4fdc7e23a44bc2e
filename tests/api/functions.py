"""Numpy functions with inputs on which they are tried, and how they are held against numpy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nkigen_cp as cp

Array = Any
TOLERANCE = 3e-5
SPECIAL = (np.inf, -np.inf, np.nan, 0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 3e9, -3e9, 8388609.0)


def normal(*shape: int, seed: int = 0) -> Array:
    """Floats around 0, of both signs."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 3, np.float32)


def special(*shape: int) -> Array:
    """The same with what is easy to get wrong in the first row."""
    values = normal(*shape)
    values.flat[: len(SPECIAL)] = SPECIAL
    return values


def within(low: float, high: float) -> Callable[..., Array]:
    """Floats of a range."""

    def make(*shape: int, seed: int = 0) -> Array:
        values = np.random.default_rng(seed).uniform(low, high, shape)
        return np.asarray(values, np.float32)

    return make


def whole(*shape: int, seed: int = 0) -> Array:
    """Small whole numbers, many of them equal."""
    return np.asarray(np.rint(normal(*shape, seed=seed)))


def through(function: Callable[..., Any], arrays: Sequence[Array], **options: Any) -> list[Array]:
    """The results of the function, traced, planned and simulated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = cp.trace(function, *arrays)
    plan = cp.solve(graph, effort="fast", **options)
    return _listed(cp.simulate(cp.lower(plan), *arrays))


def assert_same(
    function: Callable[..., Any], arrays: Sequence[Array], tolerance: float = TOLERANCE
) -> None:
    """The pipeline gives what numpy gives, in numpy's dtype narrowed to 32 bits."""
    with np.errstate(all="ignore"):
        want = _listed(function(*arrays))
    got = through(function, arrays)
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.shape == np.asarray(theirs).shape
        assert mine.dtype.kind == np.asarray(theirs).dtype.kind
        pair = [np.asarray(v, np.float64) for v in (mine, theirs)]
        np.testing.assert_allclose(*pair, rtol=tolerance, atol=tolerance, equal_nan=True)


def _listed(values: Any) -> list[Any]:
    return [*values] if isinstance(values, (tuple, list)) else [values]
