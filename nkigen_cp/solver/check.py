"""Independent check of a plan."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.targets.target import Target


def check_plan(program: Program, plan: PlanData, target: Target) -> None:
    """Placeholder."""
