"""A small attention whose plan the tests of pins, questions and conflicts steer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.plan.pins import AnyPin

HEADS, TOKENS, WIDTH = 2, 256, 64


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.transpose(0, 2, 1)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    total = e.sum(-1, keepdims=True)
    return (e / total) @ v


@cache
def graph() -> Graph:
    shape = (HEADS, TOKENS, WIDTH)
    queries = cp.spec(shape, "float32", axes=("h", "q", "d"))
    keys = cp.spec(shape, "float32", axes=("h", "k", "d"))
    return cp.trace(attention, queries, keys, keys)


@cache
def plan(*pins: AnyPin, target: cp.Target = cp.TRN2) -> cp.Plan:
    return cp.solve(graph(), target, effort="fast", pins=pins)
