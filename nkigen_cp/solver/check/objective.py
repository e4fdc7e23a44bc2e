"""The plan's figures: engine times add up, the objective follows, the bound is below it."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.price import ENGINES, step_ns

SERIAL_PARTS = 8
"""One part in eight of all work is taken to lie on the critical path."""

STATUSES = ("OPTIMAL", "FEASIBLE", "GREEDY")


def prices(facts: Facts) -> Iterator[str]:
    """Each step's engine times are those of its instructions, to the nanosecond per iteration."""
    for step in facts.plan.steps:
        trips = facts.trips(step.path)
        wanted = {e: trips * ns for e, ns in step_ns(facts, step).items()}
        for engine in sorted({*wanted, *step.busy_ns}):
            stated, ns = step.busy_ns.get(engine, 0), wanted.get(engine, 0.0)
            if abs(stated - ns) > trips:
                yield f"step {step.name!r} claims {stated} ns of {engine}, it takes {ns:.0f} ns"


def sums(facts: Facts) -> Iterator[str]:
    """Busy times are the sums over steps; objective and bound agree with them and the status."""
    plan = facts.plan
    total = {e: sum(s.busy_ns.get(e, 0) for s in plan.steps) for e in ENGINES}
    if dict(plan.busy_ns) != total:
        yield f"the engines are said to be busy {dict(plan.busy_ns)} ns, the steps sum to {total}"
    objective = (SERIAL_PARTS * max(total.values()) + sum(total.values())) // SERIAL_PARTS
    if plan.objective_ns != objective:
        yield f"objective {plan.objective_ns} ns, the steps make it {objective} ns"
    if not 0 <= plan.bound_ns <= plan.objective_ns:
        yield f"bound {plan.bound_ns} ns of an objective of {plan.objective_ns} ns"
    if plan.status not in STATUSES:
        yield f"status {plan.status!r} is not one of {', '.join(STATUSES)}"
    elif plan.status == "OPTIMAL" and plan.bound_ns != plan.objective_ns:
        yield f"status OPTIMAL with bound {plan.bound_ns} below objective {plan.objective_ns}"


def identity(facts: Facts) -> Iterator[str]:
    """The plan is for this target."""
    if facts.plan.target != facts.target.name:
        yield f"the plan is for target {facts.plan.target!r}, not {facts.target.name!r}"
