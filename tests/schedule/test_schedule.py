"""Schedules keep what a plan computes, fit where it fits, and are no slower by the timeline."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.lowering.lower import lower_plan
from nkigen_cp.schedule import scheduled
from nkigen_cp.simulate.timeline import estimate
from nkigen_cp.solver.check import check_plan
from tests.solver.nests import NESTS


@cache
def _plans(name: str) -> tuple[cp.Plan, cp.Plan]:
    plan = NESTS[name].plan()
    return plan, replace(plan, data=scheduled(plan.program, plan.data, plan.target))


def _time_ns(plan: cp.Plan) -> float:
    return estimate(lower_plan(plan.program, plan.data), plan.target).latency_ns


@pytest.mark.parametrize("name", NESTS)
def test_a_scheduled_plan_computes_the_same(name: str) -> None:
    plan, nest = _plans(name)[1], NESTS[name]
    check_plan(plan.program, plan.data, plan.target)
    arrays = nest.arrays()
    found: Any = cp.simulate(cp.lower(plan), *arrays)
    wanted: Any = nest.function(*arrays)
    pairs = zip(_each(found), _each(wanted), strict=True)
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in pairs)


def _each(results: Any) -> tuple[Any, ...]:
    return cast("tuple[Any, ...]", results) if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("name", NESTS)
def test_a_scheduled_plan_is_not_slower(name: str) -> None:
    before, after = _plans(name)
    assert _time_ns(after) <= 1.001 * _time_ns(before)
    assert sorted(s.name for s in after.steps) == sorted(s.name for s in before.steps)


def test_loops_are_pipelined_where_engines_would_wait() -> None:
    before, after = _plans("attention")
    assert not any(s.delays for s in before.steps)
    assert any(max(s.delays, default=0) for s in after.steps)
    assert _time_ns(after) < 0.8 * _time_ns(before)


def test_the_same_plan_gets_the_same_schedule() -> None:
    plan, again = _plans("attention")
    assert scheduled(plan.program, plan.data, plan.target) == again.data


def test_a_schedule_keeps_to_the_sbuf_there_is() -> None:
    """With room for the plan alone no tile gets another copy."""
    plan = _plans("attention")[0]
    peak = max(f.address + f.partition_bytes for f in plan.forms if f.address is not None)
    tight = replace(plan.target, sbuf_partition_bytes=peak)
    found = scheduled(plan.program, plan.data, tight)
    check_plan(plan.program, found, tight)
    assert _time_ns(replace(plan, data=found)) <= 1.001 * _time_ns(plan)
