"""The checker accepts what the solver makes and names the rule that a spoiled plan breaks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import nkigen_cp as cp
from nkigen_cp.solver.check import RULES, check_plan
from tests.solver.corruption import CORRUPTIONS, Corruption
from tests.solver.programs import LARGER, TINY

PlanOf = Callable[[str], cp.Plan]


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
    assert sorted({c.rule for c in CORRUPTIONS}) == sorted(RULES)


def test_a_stream_is_really_there(plan_of: PlanOf) -> None:
    assert plan_of("streamed").residency["w"] == "streamed"
