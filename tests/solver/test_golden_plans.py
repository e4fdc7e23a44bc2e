"""What the solver decides for the small workloads, readable, so that a change of plan is seen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import nkigen_cp as cp
from nkigen_cp.solver.plan import Contract, Elementwise, Step
from nkigen_cp.workloads import WORKLOADS

NAMES = ("rmsnorm", "layernorm", "softmax", "rope", "swiglu_act", "matmul_gup")


def _elementwise(spec: Elementwise) -> str:
    held = f"{'.'.join(spec.run.digits) or 'one row'}/{spec.run.partitions}"
    loops = f", loops {' '.join(spec.loops)}" if spec.loops else ""
    return f"{spec.cover.instruction} on {spec.engine}, {held}{loops}: {' '.join(spec.cover.ops)}"


def _contract(spec: Contract) -> str:
    tiles = " ".join(f"{t.digit}/{t.block}" for t in (*spec.items, *spec.moving))
    stream = spec.stream
    streamed = f", {stream.slot} streamed by {stream.block}" if stream else ""
    return f"matmul, {spec.stationary} stationary, tile {tiles}{streamed}; " + _elementwise(
        spec.epilogue
    )


def _summary(step: Step) -> str:
    spec = step.spec
    if isinstance(spec, Elementwise):
        what = _elementwise(spec)
    elif isinstance(spec, Contract):
        what = _contract(spec)
    else:
        what = type(spec).__name__.lower()
    reads, writes = (" + ".join(u.form for u in uses) for uses in (step.reads, step.writes))
    return f"{reads} -> {writes}: {what}"


@pytest.mark.parametrize("name", NAMES)
def test_plan_is_the_golden_one(golden: Callable[[str, str], None], name: str) -> None:
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    plan = cp.solve(cp.trace(workload.function, *specs, **workload.static), effort="fast")
    assert plan.status == "OPTIMAL"
    record = {
        "kernel": plan.data.kernel,
        "objective_ns": plan.objective_ns,
        "busy_ns": dict(plan.data.busy_ns),
        "steps": [_summary(s) for s in plan.steps],
    }
    golden(f"plans/{name}.json", json.dumps(record, indent=1) + "\n")
