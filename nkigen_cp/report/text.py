"""The layout report as text."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.plan import PlanData


def explain_text(program: Program, plan: PlanData) -> str:
    """Summary, steps and forms of a plan."""
    lines = [f"{plan.kernel} on {plan.target}: {plan.status}, {plan.objective_ns} ns"]
    return "\n".join(lines) + "\n"
