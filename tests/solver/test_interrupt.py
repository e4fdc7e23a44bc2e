"""Ctrl-C during the search returns the best plan so far."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.plan import Options, PlanData
from nkigen_cp.solver.search import Progress
from nkigen_cp.solver.solve import Clock, Request, canonical, solve_graph
from nkigen_cp.solver.structure.grow import proposals
from nkigen_cp.workloads import WORKLOADS


def test_ctrl_c_returns_the_best_plan_so_far() -> None:
    workload = WORKLOADS["attention_block_s128_bf16"]
    arrays = workload.make_inputs(0)
    graph = cp.trace(workload.function, *arrays, **dict(workload.static))
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 2:  # the first comes before the search, the second from inside it
            os.kill(os.getpid(), signal.SIGINT)

    plan = cp.solve(graph, matmul_precision="bf16", effort="max", on_progress=interrupt)
    assert not plan.deterministic
    assert plan.bound_ns <= plan.objective_ns <= seen[0].objective_ns
    got = np.asarray(cp.simulate(cp.lower(plan), *arrays), np.float64)
    want = np.asarray(cp.interpret(graph, *arrays))
    assert np.abs(got - want).max() < 0.1 * np.sqrt(np.mean(want**2))


def test_ctrl_c_while_steps_are_ordered_leaves_them_as_they_are() -> None:
    """The plan is there by then; no other loops are tried."""
    asked: list[PlanData] = []

    def stopped(_: Program, plan: PlanData) -> PlanData:
        asked.append(plan)
        raise KeyboardInterrupt

    workload = WORKLOADS["matmul_2048x2048x2048_bf16"]
    graph = cp.trace(workload.function, *(cp.spec(i.shape, i.dtype) for i in workload.inputs))
    clock = Clock(ordered=stopped, time_ns=lambda _, plan: plan.objective_ns)
    plan = solve_graph(graph, cp.TRN2, Options(effort="fast"), clock=clock)
    assert len(asked) == 1
    assert plan == replace(asked[0], deterministic=False)


def test_ctrl_c_while_a_plan_is_improved_ends_with_it() -> None:
    def stopped(_: Program, __: PlanData) -> float:
        raise KeyboardInterrupt

    workload = WORKLOADS["softmax_1000x5001_f32"]
    graph = cp.trace(workload.function, *(cp.spec(i.shape, i.dtype) for i in workload.inputs))
    options = Options(effort="fast")
    plan = solve_graph(graph, cp.TRN2, options)
    core = canonical(graph, options)
    clock = Clock(ordered=lambda _, plan: plan, time_ns=stopped)
    request = Request(graph, core, cp.TRN2, options, None, None, clock)
    improved = request.improved(plan, cp.TRN2, proposals(core, cp.TRN2))
    assert improved == replace(plan, deterministic=False)


def test_the_best_of_plans_one_of_which_was_stopped_says_so() -> None:
    workload = WORKLOADS["matmul_512x512x512_f32"]
    graph = cp.trace(workload.function, *(cp.spec(i.shape, i.dtype) for i in workload.inputs))
    options = Options(effort="fast")
    plan = solve_graph(graph, cp.TRN2, options)
    request = Request(graph, canonical(graph, options), cp.TRN2, options, None, None, None)
    stopped = replace(plan, deterministic=False, objective_ns=2 * plan.objective_ns)
    assert request.best((plan, stopped)) == replace(plan, deterministic=False)
