"""Decisions made otherwise: legal where they say so, and priced as the plan they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.solver.alternatives import Alternative, Alternatives, alternatives
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families import memory
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.solver.record import recorded
from nkigen_cp.solver.resume import decisions_of
from nkigen_cp.solver.search import Outcome
from nkigen_cp.solver.solve import offered
from tests.report.programs import gated_plan, looped_plan, scores_plan


def residual(x: Any, w: Any) -> Any:
    """``x`` is read at both ends of the program."""
    hidden = x @ w
    return np.tanh(hidden) @ w + x


@cache
def residual_plan() -> cp.Plan:
    specs = (cp.spec((256, 512), "float32"), cp.spec((512, 512), "float32"))
    return cp.solve(cp.trace(residual, *specs), effort="fast")


@cache
def crowded_plan() -> cp.Plan:
    """The same with too little SBUF to keep everything."""
    specs = (cp.spec((256, 512), "float32"), cp.spec((512, 512), "float32"))
    target = replace(cp.TRN2, sbuf_partition_bytes=20 * 1024)
    return cp.solve(cp.trace(residual, *specs), target, effort="fast")


def summed(x: Any) -> Any:
    return np.sum(x, axis=0)


@cache
def summed_plan() -> cp.Plan:
    """What is summed is turned, and may be made in a layout that is now a move's result."""
    return cp.solve(cp.trace(summed, cp.spec((1024, 1024), "float32")), effort="fast")


PLANS: Mapping[str, Callable[[], cp.Plan]] = {
    "gated": gated_plan,
    "scores": scores_plan,
    "looped": looped_plan,
    "residual": residual_plan,
    "crowded": crowded_plan,
    "summed": summed_plan,
}


@cache
def _job(name: str) -> Alternatives:
    plan = PLANS[name]()
    instance = offered(plan.graph, plan.data, plan.target)
    decisions = decisions_of(instance, plan.data)
    assert decisions is not None
    return alternatives(instance, decisions)


def _all(name: str) -> Iterator[Alternative]:
    job = _job(name)
    for number in job.decisions.chosen:
        yield from (found for _, found in job.of_op(number))
    for tensor in job.instance.choices:
        found = job.of_tensor(tensor)
        if found is not None:
            yield found


def _carried_out(plan: cp.Plan, job: Alternatives, decisions: Decisions) -> PlanData:
    outcome = Outcome(decisions=decisions, status="FEASIBLE", bound=0, deterministic=True)
    made = recorded(plan.graph, job.instance, decisions, outcome, plan.options)
    return replace(made, splits=plan.data.splits, cuts=plan.data.cuts, loops=plan.data.loops)


@pytest.mark.parametrize("name", PLANS)
def test_what_can_be_taken_makes_a_plan_that_costs_so_much_more(name: str) -> None:
    plan, job = PLANS[name](), _job(name)
    legal = [a for a in _all(name) if a.legal]
    assert bool(legal) == (name not in ("crowded", "summed"))  # nothing else fits there
    for found in legal:
        assert found.decisions is not None
        assert found.change_ns is not None
        assert memory.fits(job.instance, found.decisions)
        made = _carried_out(plan, job, found.decisions)
        check_plan(plan.program, made, plan.target)
        assert abs(made.objective_ns - plan.objective_ns - found.change_ns) <= 1


@pytest.mark.parametrize("name", PLANS)
def test_nothing_that_can_be_taken_beats_a_proven_optimum(name: str) -> None:
    plan = PLANS[name]()
    assert plan.status == "OPTIMAL"
    assert all(a.change_ns is None or a.change_ns >= 0 for a in _all(name) if a.legal)


@pytest.mark.parametrize("name", PLANS)
def test_what_memory_forbids_breaks_one_of_its_rows(name: str) -> None:
    job = _job(name)
    for found in _all(name):
        if found.overflow is not None:
            assert found.decisions is not None
            needed = memory.loads(job.instance, found.decisions)
            assert max(needed) == found.overflow.needed_bytes > found.overflow.capacity_bytes
            assert needed[job.instance.position(found.overflow.op)] == max(needed)


def test_a_full_memory_forbids_what_would_cost_less() -> None:
    cheaper = [a for a in _all("crowded") if a.change_ns is not None and a.change_ns < 0]
    assert cheaper
    assert all(a.overflow is not None for a in cheaper)


def test_what_cannot_be_completed_says_why() -> None:
    refused = [a for a in _all("scores") if a.change_ns is None]
    assert all(a.refused and not a.legal for a in refused)


def test_a_tensor_read_at_both_ends_may_be_loaded_twice() -> None:
    job = _job("residual")
    found = job.of_tensor("x")
    assert found is not None
    assert found.legal
    assert found.change_ns is not None
    assert found.change_ns > 0
    assert found.decisions is not None
    assert [v[0] for v in found.decisions.visiting] == ["x"]
