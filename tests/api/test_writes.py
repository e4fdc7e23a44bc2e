"""Functions that write into arrays, from the kernel to the simulator's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Kernel
from tests.frontend.written import CASES, STEPS, Steps, mixed, normal, wanted


def assert_same(function: Callable[..., Any], arrays: Sequence[Any]) -> Kernel:
    """The simulated kernel returns what the function does, and writes to what it writes to."""
    graph = cp.trace(function, *arrays)
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    want, after = wanted(function, arrays)
    own = [np.array(a) for a in arrays]
    got = cp.simulate(kernel, *own)
    for mine, theirs in zip(_listed(got), _listed(want), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(own, after, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    return kernel


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return [*values] if isinstance(values, (tuple, list)) else [values]


@pytest.mark.parametrize("case", CASES)
def test_as_numpy(case: str) -> None:
    shapes, function = CASES[case]
    assert_same(function, [normal(*s, seed=k) for k, s in enumerate(shapes)])


def test_an_array_to_write_to_must_allow_it() -> None:
    def fn(x: Any) -> None:
        x[0] = 1

    x = normal(4, 3)
    kernel = cp.lower(cp.solve(cp.trace(fn, x), effort="fast"))
    x.flags.writeable = False
    with pytest.raises(ArgumentError, match="'x' is a read-only array"):
        cp.simulate(kernel, x)


@settings(deadline=None, max_examples=10)
@given(STEPS)
def test_any_views_and_writes(steps: Steps) -> None:
    assert_same(mixed(steps), [normal(3, 4), normal(16, 5, seed=1)])
