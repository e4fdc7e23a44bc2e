"""Small programs whose plans show every part of a report."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.solver.structure import Structure
from tests.solver.nests import nested_plan


def gated(x: Any, weight: Any, bias: Any) -> Any:
    hidden = x @ weight
    shifted = hidden + bias
    return np.tanh(shifted) * 2.0


def attention_scores(q: Any, k: Any) -> Any:
    scores = q @ k.T
    mask = np.triu(np.full(scores.shape, -10000.0, np.float32), k=1)
    return scores + mask


def projected(x: Any, w: Any) -> Any:
    return x @ w


def regrouped(x: Any) -> Any:
    """(96, 100) -> (75, 128): no factoring serves both shapes."""
    flat = np.reshape(x, (75, 128))
    return flat


GATED = ((256, 384), (384, 1024), (1024,))


@functools.cache
def gated_plan(precision: str = "exact") -> cp.Plan:
    axes = (("tokens", "inner"), ("inner", "outer"), ("outer",))
    specs = [cp.spec(s, "float32", axes=a) for s, a in zip(GATED, axes, strict=True)]
    return cp.solve(cp.trace(gated, *specs), effort="fast", matmul_precision=precision)


@functools.cache
def scores_plan() -> cp.Plan:
    q, k = cp.spec((128, 64), "float32"), cp.spec((256, 64), "float32")
    return cp.solve(cp.trace(attention_scores, q, k), effort="fast")


@functools.cache
def regrouped_plan() -> cp.Plan:
    return cp.solve(cp.trace(regrouped, cp.spec((96, 100), "float32")), effort="fast")


@functools.cache
def streaming_plan() -> cp.Plan:
    """Weights that do not fit SBUF at once: without loops the contraction streams them."""
    return nested_plan(_projection(), Structure())


@functools.cache
def looped_plan() -> cp.Plan:
    """The same weights, as the solver plans them."""
    return cp.solve(_projection(), effort="fast")


def _projection() -> cp.Graph:
    return cp.trace(projected, cp.spec((128, 2048), "float32"), cp.spec((2048, 4096), "float32"))


PLANS: Mapping[str, Callable[[], cp.Plan]] = {
    "gated": gated_plan,
    "scores": scores_plan,
    "regrouped": regrouped_plan,
    "streaming": streaming_plan,
    "looped": looped_plan,
}
