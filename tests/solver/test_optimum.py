"""The solver's optimum is the minimum over all plans, enumerated by code of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import nkigen_cp as cp
from tests.solver.enumeration import Enumeration
from tests.solver.programs import TINY

PlanOf = Callable[[str], cp.Plan]


@pytest.mark.parametrize("name", TINY)
def test_equals_the_enumerated_minimum(plan_of: PlanOf, name: str) -> None:
    plan = plan_of(name)
    assert len(plan.program.ops) <= 7
    assert plan.status == "OPTIMAL"
    assert plan.objective_ns == Enumeration(plan.program, plan.target).minimum()
