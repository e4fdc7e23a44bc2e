"""Lowered programs for tests, and what they execute."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Statement, View, walk
from nkigen_cp.ir.nki.loops import iterations
from nkigen_cp.solver.structure import Structure
from tests.solver.nests import nested_plan

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A solved and lowered function with arrays to run it on."""

    plan: cp.Plan
    kernel: Kernel
    arrays: tuple[Array, ...]
    want: Array


def lowered(fn: Callable[..., Any], *shapes: tuple[int, ...], dtype: str = "float32") -> Lowered:
    """The function compiled for standard normal arrays; ``want`` is numpy's result in float64."""
    graph = cp.trace(fn, *(cp.spec(s, dtype) for s in shapes))
    return _compiled(fn, cp.solve(graph, effort="fast"))


def lowered_without_loops(
    fn: Callable[..., Any], *shapes: tuple[int, ...], sbuf: int = cp.TRN2.sbuf_partition_bytes
) -> Lowered:
    """The same for float32, planned without loops in ``sbuf`` bytes per partition."""
    graph = cp.trace(fn, *(cp.spec(s, "float32") for s in shapes))
    target = dataclasses.replace(cp.TRN2, sbuf_partition_bytes=sbuf)
    return _compiled(fn, nested_plan(graph, Structure(), target=target))


def _compiled(fn: Callable[..., Any], plan: cp.Plan) -> Lowered:
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(t.shape, np.float32) for t in plan.graph.inputs]
    arrays = tuple(a.astype(t.dtype.numpy) for a, t in zip(drawn, plan.graph.inputs, strict=True))
    want = np.asarray(fn(*(a.astype(np.float64) for a in arrays)))
    return Lowered(plan=plan, kernel=cp.lower(plan), arrays=arrays, want=want)


def turned_inside(x: Any) -> Any:
    return np.transpose(x, (0, 3, 1, 2))


def exponential(x: Any) -> Any:
    return np.exp(x)


def matmul(a: Any, b: Any) -> Any:
    return a @ b


def transposed(x: Any) -> Any:
    return np.transpose(x)


def biased(x: Any, bias: Any) -> Any:
    return np.tanh(x) + bias


def masked(x: Any) -> Any:
    return np.tanh(x) + np.triu(np.full(x.shape, -10000.0, np.float32), k=1)


def picked(x: Any, s: Any) -> Any:
    return x[(s > 0).astype(np.int32)]


def replaced(x: Any, s: Any, v: Any) -> Any:
    return cp.ops.scatter_rows(x, (s > 0).astype(np.int32), v)


def exchanged(x: Any) -> Any:
    return cp.collectives.all_reduce(np.exp(x), [[0]])


def regrouped(x: Any) -> Any:
    return np.reshape(x, (75, 128))


def softmax(x: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


def ordered(x: Any) -> Any:
    """The largest of every row, each with where it is and a running sum."""
    values, places = cp.ops.topk(x, min(11, x.shape[-1]))
    return values + places + np.cumsum(x, axis=-1)[..., : values.shape[-1]]


def tops(a: Any, b: Any) -> Any:
    """The scaled product less the maximum of each row, rows of 1000 in two parts."""
    scores = (a @ b) * 0.125
    parts = np.max(np.reshape(scores, (len(scores), 2, -1)), axis=-1)
    return scores - np.max(parts, axis=-1, keepdims=True)


def heads(a: Any, b: Any) -> Any:
    """The product less the maximum of each of its four heads."""
    scores = np.reshape(a @ b, (len(a), 4, -1))
    return scores - np.max(scores, axis=-1, keepdims=True)


def ridge(a: Any, b: Any) -> Any:
    return np.max(a @ b, axis=-1)


def weights(a: Any, b: Any) -> Any:
    """A softmax without the maximum."""
    exps = np.exp((a @ b) * 0.125)
    return exps / np.sum(exps, axis=-1, keepdims=True)


def attention(q: Any, k: Any, v: Any) -> Any:
    """Attention with the true maximum, taken in parts of 512 keys."""
    scores = (q @ k.T) * 0.088
    parts = np.max(np.reshape(scores, (len(q), -1, 512)), axis=-1)
    exps = np.exp(scores - np.max(parts, axis=-1, keepdims=True))
    return (exps / np.sum(exps, axis=-1, keepdims=True)) @ v


Program = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]

KINDS: Mapping[str, Program] = {
    "Load": (exponential, ((128, 64),)),
    "Store": (exponential, ((128, 64),)),
    "Elementwise": (exponential, ((128, 64),)),
    "Contract": (matmul, ((128, 256), (256, 512))),
    "Transpose": (transposed, ((256, 256),)),
    "Replicate": (biased, ((128, 64), (64,))),
    "Reorder": (turned_inside, ((400, 3, 20, 16),)),
    "Generate": (masked, ((128, 128),)),
    "Reinterpret": (regrouped, ((96, 100),)),
    "Exchange": (exchanged, ((96, 100),)),
    "Scatter": (replaced, ((5, 300), (2,), (2, 300))),
    "Gather": (picked, ((5, 300), (130,))),
}
"""Spec kind -> a program whose plan has a step of it."""


@functools.cache
def kind(name: str) -> Lowered:
    """The program that shows a spec kind."""
    fn, shapes = KINDS[name]
    return lowered(fn, *shapes)


def statements(kernel: Kernel) -> int:
    """Statements of the IR, whatever the trip counts."""
    return sum(1 for _ in walk(kernel.body))


def loops(kernel: Kernel) -> list[Loop]:
    return [s for s in walk(kernel.body) if isinstance(s, Loop)]


def instructions(kernel: Kernel, name: str = "") -> list[Instruction]:
    """Instructions of a kind as written, or all."""
    found = [s for s in walk(kernel.body) if isinstance(s, Instruction)]
    return [i for i in found if not name or i.kind == name]


def executed(body: tuple[Statement, ...]) -> Iterator[tuple[Instruction, int]]:
    """Instructions with how often they run."""
    for statement, _, times in _visited(body, {}, 1):
        yield statement, times


def _visited(
    body: tuple[Statement, ...], env: Mapping[str, int], times: int
) -> Iterator[tuple[Instruction, Mapping[str, int], int]]:
    for statement in body:
        if isinstance(statement, Loop):
            for inner, repeats in iterations(statement, env):
                yield from _visited(statement.body, inner, times * repeats)
        elif isinstance(statement, Instruction):
            yield statement, env, times


def unrolled(
    body: tuple[Statement, ...], env: Mapping[str, int]
) -> Iterator[tuple[Instruction, Mapping[str, int]]]:
    """Every execution of every instruction with its loop variables."""
    for statement in body:
        if isinstance(statement, Loop):
            for i in range(statement.lower.value(env), statement.upper.value(env)):
                yield from unrolled(statement.body, {**env, statement.var: i})
        elif isinstance(statement, Instruction):
            yield statement, env


def views(instruction: Instruction) -> dict[str, View]:
    return {n: v for n, v in instruction.args.items() if isinstance(v, View)}


def by_kind(kernel: Kernel) -> Counter[str]:
    """Executed instructions by kind."""
    found: Counter[str] = Counter()
    for instruction, times in executed(kernel.body):
        found[instruction.kind] += times
    return found
