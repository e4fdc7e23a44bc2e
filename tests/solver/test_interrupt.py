"""Ctrl-C during the search returns the best plan so far."""

from __future__ import annotations

import os
import signal

import numpy as np

import nkigen_cp as cp
from nkigen_cp.solver.search import Progress
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
