"""Finding the op that is wrong: the first tensor of a kernel that leaves the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.simulate.run import Run, run
from nkigen_cp.simulate.watching import values, watchable
from nkigen_cp.targets.target import Target

Array = Any  # numpy arrays of any dtype: numpy types their reshape only partly

SLACK = 4.0
"""Allowed multiple of the error that rounding every op to its graph dtype makes."""

FLOOR = 1e-4
"""Relative error that float32 contractions make by summing in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A tensor off the reference. ``error`` and ``allowed`` are max |got - want| / rms(want)."""

    tensor: str
    error: float
    allowed: float
    where: str

    def __str__(self) -> str:
        return (
            f"tensor {self.tensor!r}{self.where} is off by {self.error:.2e} of its rms; "
            f"{self.allowed:.2e} is allowed"
        )


def given(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The arrays that a kernel takes: those that have elements."""
    return [a for a, t in zip(arrays, graph.inputs, strict=True) if t.size]


def results(graph: Graph, done: Run) -> list[Array]:
    """The graph's results out of the kernel's, which has none without elements."""
    left = iter(done.outputs)
    return [next(left) if t.size else np.empty(t.shape, t.dtype.numpy) for t in graph.results]


def relative_error(got: Array, want: Array) -> float:
    """Max |got - want| / rms(want); 0 where both are empty."""
    if want.size == 0:
        return 0.0
    got64, want64 = np.asarray(got, np.float64), np.asarray(want, np.float64)
    rms = float(np.sqrt(np.mean(np.square(want64))))
    worst = float(np.max(np.abs(got64 - want64)))
    return worst / rms if rms else worst


def first_difference(
    kernel: Kernel, arrays: Sequence[Array], target: Target, *, tolerance: float | None
) -> Difference | None:
    """The first differing tensor among those the kernel holds whole and its outputs."""
    graph = kernel.graph
    if graph is None:
        raise ArgumentError(f"kernel {kernel.name!r} carries no graph to compare with")
    names = [n for n in watchable(kernel) if n in graph.tensors]
    order = {n: k for k, n in enumerate(names)}
    done = run(kernel, given(graph, arrays), target, watch=names)
    want = interpret(graph, arrays, keep=names)
    rounded = interpret(graph, arrays, precision="graph", keep=names)
    got = values(kernel, done, names)
    rows = [
        (n, got[n], want.kept[n], rounded.kept[n]) for n in sorted(names, key=order.__getitem__)
    ]
    outputs = zip(
        graph.result_names,
        results(graph, done),
        (*want.outputs, *want.mutated),
        (*rounded.outputs, *rounded.mutated),
        strict=True,
    )
    for name, value, exact, narrow in (*rows, *outputs):
        error = relative_error(np.reshape(value, exact.shape), exact)
        allowed = tolerance
        if allowed is None:
            allowed = SLACK * relative_error(narrow, exact) + FLOOR
        if not error <= allowed:
            where = _where(graph, name)
            return Difference(tensor=name, error=error, allowed=allowed, where=where)
    return None


def _where(graph: Graph, name: str) -> str:
    producers = graph.producers(name)
    return producers[0].where() if producers else ""
