"""The checker accepts what the solver makes and names the rule that a spoiled plan breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

import nkigen_cp as cp
from nkigen_cp.solver.check import RULES, check_plan
from nkigen_cp.solver.structure import Structure
from tests.solver.corruption import CORRUPTIONS, SMALL_SBUF, Corruption
from tests.solver.nest_corruption import NEST_CORRUPTIONS
from tests.solver.nests import nested_plan
from tests.solver.programs import LARGER, TINY

PlanOf = Callable[[str], cp.Plan]


@cache
def _streamed() -> cp.Plan:
    """Without loops around it the contraction itself streams its weights."""
    small = replace(cp.TRN2, sbuf_partition_bytes=SMALL_SBUF)
    return nested_plan(LARGER["streamed"].graph(), Structure(), target=small)


@pytest.fixture(name="plan_of", scope="session")
def _plan_of(plan_of: PlanOf) -> PlanOf:
    return lambda name: _streamed() if name == "streamed" else plan_of(name)


@pytest.mark.parametrize("name", [*TINY, *LARGER])
def test_accepts_solved_plans(plan_of: PlanOf, name: str) -> None:
    plan = plan_of(name)
    check_plan(plan.program, plan.data, plan.target)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: f"{c.rule}-{c.program}")
def test_rejects(plan_of: PlanOf, corruption: Corruption) -> None:
    plan = plan_of(corruption.program)
    data, target = corruption.breaks(plan.data), corruption.of(plan.target)
    with pytest.raises(cp.PlanError, match=re.escape(f"breaks rule {corruption.rule!r}: ")):
        check_plan(plan.program, data, target)


def test_every_rule_is_tried() -> None:
    elsewhere = {"windows"}  # test_peel.py: a plan in windows takes a whole solve
    tried = {c.rule for c in (*CORRUPTIONS, *NEST_CORRUPTIONS)} | elsewhere
    assert sorted(tried) == sorted(RULES)


def test_a_stream_is_really_there(plan_of: PlanOf) -> None:
    assert plan_of("streamed").residency["w"] == "streamed"
