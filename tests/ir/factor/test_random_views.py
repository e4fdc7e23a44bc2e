"""Random chains of views and ops: the factored program computes what numpy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.ir.factor.evaluate import agrees

Step = Callable[[Any], Any]


def _splits(size: int) -> list[int]:
    return [d for d in range(2, size) if size % d == 0]


def _split(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    dims = [k for k, n in enumerate(shape) if _splits(n)]
    if not dims:
        return np.tanh
    k = int(rng.choice(dims))
    outer = int(rng.choice(_splits(shape[k])))
    new = (*shape[:k], outer, shape[k] // outer, *shape[k + 1 :])
    return lambda x: np.reshape(x, new)


def _merge(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    if len(shape) < 2:
        return np.tanh
    k = int(rng.integers(len(shape) - 1))
    new = (*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])
    return lambda x: np.reshape(x, new)


def _permute(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    axes = tuple(int(a) for a in rng.permutation(len(shape)))
    return lambda x: np.transpose(x, axes)


def _slice(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    k = int(rng.integers(len(shape)))
    start = int(rng.integers(shape[k]))
    stop = int(rng.integers(start + 1, shape[k] + 1))
    step = int(rng.integers(1, 3))
    key = (*(slice(None),) * k, slice(start, stop, step))
    return lambda x: x[key]


def _double(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    k = int(rng.integers(len(shape)))
    return lambda x: np.concatenate([x, x * 2.0], axis=k)


def _repeat(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    k = int(rng.integers(len(shape)))
    return lambda x: np.repeat(x, 2, axis=k)


def _compute(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    del rng, shape
    return lambda x: np.tanh(x) + 1.0


_STEPS = (_split, _split, _merge, _permute, _permute, _slice, _double, _repeat, _compute)


def _program(seed: int) -> tuple[Callable[[Any], Any], tuple[int, ...]]:
    """Up to seven steps on a tensor of at most a few thousand elements."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.choice([2, 3, 4, 6, 8, 12], size=int(rng.integers(1, 4))))
    steps: list[Step] = []
    probe: Any = np.zeros(shape)
    while len(steps) < 7 and probe.size < 2000:
        step = _STEPS[int(rng.integers(len(_STEPS)))](rng, probe.shape)
        steps.append(step)
        probe = step(probe)

    def program(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return np.square(x)

    return program, shape


@pytest.mark.parametrize("seed", range(120))
def test_random_views_agree_with_numpy(seed: int) -> None:
    program, shape = _program(seed)
    assert agrees(program, shape)
