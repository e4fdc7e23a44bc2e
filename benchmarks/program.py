"""A row of the benchmark compiled, its inputs, and what its results have to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nkigen_cp as cp
from benchmarks.rows import NARROW_ERROR_RATIO, Row
from nkigen_cp.cli.compare import leaves
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.simulate.compare import relative_error
from nkigen_cp.solver.search import ProgressFn
from nkigen_cp.workloads import WORKLOADS, Workload

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """The program in float64 on the seeded inputs, output by output.

    ``limits`` bound max |got - want| / rms(want); ``rounded`` is the error of the reference
    interpreter in the graph's own dtypes.
    """

    inputs: Sequence[Array]
    want: Sequence[Array]
    rounded: Sequence[float]
    limits: Sequence[float]

    def errors(self, got: Sequence[Array]) -> list[float]:
        """The error of each output; infinite where the shape is wrong or a value is not finite."""
        return [_error(g, w) for g, w in zip(got, self.want, strict=True)]

    def accepts(self, errors: Sequence[float]) -> bool:
        """Whether every output is within its limit."""
        return all(e <= limit for e, limit in zip(errors, self.limits, strict=True))


def _error(got: Array, want: Array) -> float:
    fits = got.shape == want.shape and bool(np.all(np.isfinite(np.asarray(got, np.float64))))
    return relative_error(got, want) if fits else float("inf")


def trace(row: Row) -> Graph:
    """The row's function as a graph; no data is made."""
    workload = WORKLOADS[row.workload]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    return cp.trace(workload.function, *specs, **workload.static)


def solve(row: Row, graph: Graph, effort: str, on_progress: ProgressFn | None = None) -> cp.Plan:
    """The plan, under the matmul precision that the row states."""
    return cp.solve(
        graph,
        target=cp.TRN2,
        effort=effort,
        matmul_precision=row.matmul_precision,
        on_progress=on_progress,
    )


def reference(row: Row, graph: Graph) -> Reference:
    """Inputs of seed 0 and the float64 results."""
    workload = WORKLOADS[row.workload]
    inputs = workload.make_inputs(0)
    want = leaves(cp.interpret(graph, *inputs, **workload.static))
    narrow = leaves(cp.interpret(graph, *inputs, precision="graph", **workload.static))
    rounded = [_error(n, w) for n, w in zip(narrow, want, strict=True)]
    limits = [NARROW_ERROR_RATIO * r if row.error is None else row.error for r in rounded]
    return Reference(inputs=inputs, want=want, rounded=rounded, limits=limits)


def simulate(workload: Workload, kernel: Kernel, inputs: Sequence[Array]) -> list[Array]:
    """The kernel's results, one array per output."""
    return leaves(cp.simulate(kernel, *inputs, **workload.static))
