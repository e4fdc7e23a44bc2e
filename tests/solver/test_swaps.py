"""Work shared out among the engines in another way, for the same objective."""

from __future__ import annotations

from dataclasses import replace

import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.instance import build_instance
from nkigen_cp.solver.plan import Options, PlanData
from nkigen_cp.solver.solve import Clock, canonical, planned_program, solve_graph
from nkigen_cp.solver.structure import Structure, structured
from nkigen_cp.solver.swaps import swapped
from nkigen_cp.workloads import WORKLOADS

SMALL = replace(cp.TRN2, sbuf_partition_bytes=52_000)
ROWS = WORKLOADS["layernorm_4096x8192_f32"]
GRAPH = cp.trace(
    ROWS.function, cp.spec((512, 2048)), cp.spec((2048,)), cp.spec((2048,)), **ROWS.static
)
EITHER = ("divide_1", "add_2")
"""The steps that the Vector and the Scalar Engine do equally well, one each."""


def _engines(plan: PlanData) -> list[str]:
    busy = {s.name: s.busy_ns for s in plan.steps}
    return [next(iter(busy[name])) for name in EITHER]


def _solved(first: str, effort: str) -> PlanData:
    """The plan by a clock to which GpSimd is slow, and ``first`` the better one for division."""

    def time_ns(program: Program, plan: PlanData) -> float:
        slow = any("gpsimd" in s.busy_ns for s in plan.steps)
        return 1e9 if slow else 1.0 if _engines(plan)[0] == first else 1e6

    clock = Clock(ordered=lambda program, plan: plan, time_ns=time_ns)
    return solve_graph(GRAPH, SMALL, Options(effort=effort), clock=clock)


def test_swapped_plans_are_plans_of_the_same_objective() -> None:
    plan = _solved("neither", "fast")
    assert sorted(_engines(plan)) == ["scalar", "vector"]
    structure = Structure(splits=plan.splits, cuts=plan.cuts, loops=plan.loops)
    program = structured(canonical(GRAPH, plan.options), structure)
    (other,) = swapped(build_instance(program, SMALL), plan)
    check_plan(planned_program(GRAPH, other), other, SMALL)
    assert other.objective_ns == plan.objective_ns
    assert _engines(other) == _engines(plan)[::-1]


@pytest.mark.parametrize("first", ["scalar", "vector"])
def test_the_clock_decides_between_them(first: str) -> None:
    assert _engines(_solved(first, "balanced"))[0] == first
