"""A plan as the start of another solve."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.solver.instance import build_instance
from nkigen_cp.solver.resume import decisions_of
from nkigen_cp.solver.structure import Structure, structured
from nkigen_cp.solver.work import work_of
from nkigen_cp.workloads import WORKLOADS
from tests.solver.nests import nested_plan


def _graph(name: str) -> cp.Graph:
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    return cp.trace(workload.function, *specs, **dict(workload.static))


@pytest.mark.parametrize(
    "name", ["rmsnorm", "softmax", "rope", "feedforward", "transpose_1024x1024"]
)
def test_a_plan_is_found_again_among_the_candidates(name: str) -> None:
    graph = _graph(name)
    plan = cp.solve(graph, effort="fast")
    data = plan.data
    structure = Structure(splits=data.splits, cuts=data.cuts, loops=data.loops)
    instance = build_instance(structured(canonicalise(graph), structure), cp.TRN2)
    decisions = decisions_of(instance, plan.data)
    assert decisions is not None
    assert work_of(instance, decisions).busy_ns == plan.data.busy_ns


def _crowded(x: np.ndarray) -> np.ndarray:
    late = np.exp(x)
    a = np.tanh(x)
    b = a * x
    return late + b * a


def test_a_spilling_plan_is_found_again() -> None:
    # Three tensors of 16 KiB per partition are wanted at once (b takes the place of x) where
    # not quite three fit: one is spilled, and no loop is needed.
    target = dataclasses.replace(cp.TRN2, sbuf_partition_bytes=44_000)
    graph = cp.trace(_crowded, cp.spec((128, 4096)))
    plan = nested_plan(graph, Structure(), target=target)
    assert "spilled" in plan.residency.values()
    assert not plan.data.loops
    x = np.random.default_rng(0).standard_normal((128, 4096)).astype(np.float32)
    assert np.allclose(cp.simulate(cp.lower(plan), x), cp.interpret(graph, x), rtol=1e-5, atol=1e-5)
    instance = build_instance(refine(canonicalise(graph)), target)
    decisions = decisions_of(instance, plan.data)
    assert decisions is not None
    assert work_of(instance, decisions).busy_ns == plan.data.busy_ns


def test_solving_from_a_hint_is_never_worse() -> None:
    graph = _graph("feedforward")
    plan = cp.solve(graph)
    again = cp.solve(graph, effort="fast", hint=plan)
    assert again.objective_ns <= plan.objective_ns


def test_a_plan_of_other_candidates_is_ignored() -> None:
    def shorter(x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    other = cp.solve(cp.trace(shorter, cp.spec((128, 64))), effort="fast")
    graph = _graph("rmsnorm")
    assert decisions_of(build_instance(refine(canonicalise(graph)), cp.TRN2), other.data) is None
    assert cp.solve(graph, effort="fast", hint=other).status == "OPTIMAL"
