"""What a workload's results have to be, and how far they may be off."""

from __future__ import annotations

from dataclasses import replace

import nkigen_cp as cp
from benchmarks.program import Reference
from benchmarks.rows import NARROW_ERROR_RATIO
from nkigen_cp.cli.compare import leaves
from nkigen_cp.workloads import Workload


def reference(workload: Workload, graph: cp.Graph, error: float | None) -> Reference:
    """Inputs of seed 0, the float64 results, and ``error`` as the limit of every output.

    Without ``error``, the limit is a multiple of the error that rounding each op makes.
    """
    inputs = workload.make_inputs(0)
    want = leaves(cp.interpret(graph, *inputs, **workload.static))
    exact = Reference(inputs=inputs, want=want, rounded=(), limits=[error or 0.0] * len(want))
    if error is not None:
        return exact
    narrow = leaves(cp.interpret(graph, *inputs, precision="graph", **workload.static))
    rounded = exact.errors(narrow)
    return replace(exact, rounded=rounded, limits=[NARROW_ERROR_RATIO * r for r in rounded])
