"""Programs that the tests of the public functions share."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Statement, View

Array = NDArray[Any]


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.T
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    total = np.sum(weights, axis=-1, keepdims=True)
    mixed = weights @ v
    return mixed / total


SHAPES = ((160, 64), (96, 64), (96, 32))


@functools.cache
def arrays() -> tuple[Array, ...]:
    rng = np.random.default_rng(3)
    return tuple(0.3 * rng.standard_normal(s, np.float32) for s in SHAPES)


@functools.cache
def plan() -> cp.Plan:
    return cp.solve(cp.trace(attention, *arrays()), effort="fast")


@functools.cache
def kernel() -> Kernel:
    return cp.lower(plan())


def tampered(made: Kernel, tensor: str, change: Any) -> Kernel:
    """The kernel with ``change`` applied to the instructions that write a tensor's own buffer."""

    def writes(s: Instruction) -> bool:
        view = s.args["dst"]
        assert isinstance(view, View)
        buffer = made.buffers[view.buffer]
        return buffer.name in made.holdings and buffer.tensor == tensor

    def visit(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop):
                out.append(replace(s, body=visit(s.body)))
            elif isinstance(s, Instruction) and writes(s):
                out.append(change(s))
            else:
                out.append(s)
        return tuple(out)

    return replace(made, body=visit(made.body))
