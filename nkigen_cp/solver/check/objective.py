"""The plan's figures: engine times add up, the objective follows, the bound is below it.

What lies in one outermost loop is as long as its busiest engine; the DMA queues run ahead of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.price import ENGINES, step_ns
from nkigen_cp.solver.plan import Load, Step, Store

SERIAL_PARTS = 8
"""One part in eight of all work is done one after the other, the rest beside each other."""

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
    beside = (SERIAL_PARTS - 1) * _makespan(facts, total)
    latency = 2 * facts.target.dma.latency_ns  # of the first load and the last store
    spilled = sum(s.busy_ns.get("dma", 0) for s in plan.steps if _spills(facts, s))
    objective = (beside + sum(total.values())) // SERIAL_PARTS + round(latency) + spilled
    if plan.objective_ns != objective:
        yield f"objective {plan.objective_ns} ns, the steps make it {objective} ns"
    if not 0 <= plan.bound_ns <= plan.objective_ns:
        yield f"bound {plan.bound_ns} ns of an objective of {plan.objective_ns} ns"
    if plan.status not in STATUSES:
        yield f"status {plan.status!r} is not one of {', '.join(STATUSES)}"
    elif plan.status == "OPTIMAL" and plan.bound_ns != plan.objective_ns:
        yield f"status OPTIMAL with bound {plan.bound_ns} below objective {plan.objective_ns}"


def _spills(facts: Facts, step: Step) -> bool:
    """Whether a step stores from SBUF what other steps load again."""
    if not isinstance(step.spec, Store):
        return False
    tensor = step.spec.target.tensor
    if tensor not in facts.program.outputs:
        return True
    # An output that is read again from HBM has a second store, to a place of its own.
    stores = [s.spec for s in facts.plan.steps if isinstance(s.spec, Store)]
    again = sum(spec.target.tensor == tensor for spec in stores) > 1
    written = [u.form for u in step.writes]
    return again and any(u.form in written for s in facts.plan.steps for u in s.reads)


def _makespan(facts: Facts, total: Mapping[str, int]) -> int:
    """Nests one after the other, each behind what others load for it, or the DMA queues alone."""
    busy: dict[str, dict[str, int]] = {}
    for step in facts.plan.steps:
        nest = busy.setdefault("".join(step.path[:1]), dict.fromkeys(total, 0))
        for engine, ns in step.busy_ns.items():
            nest[engine] += ns
    length = {n: max(ns for e, ns in found.items() if e != "dma") for n, found in busy.items()}
    needs: dict[str, dict[str, None]] = {}
    for op in facts.program.ops.values():
        for access in op.accesses if op.path else ():
            if not facts.producers[access.tensor]:
                needs.setdefault(op.path[0], {})[access.tensor] = None
    waits = [0]
    for nest, tensors in needs.items():
        loaded = [s for s in facts.plan.steps if _loads(s, tensors) and s.path[:1] != (nest,)]
        later = [n for n, others in needs.items() if all(t in others for t in tensors)]
        ahead = sum(s.busy_ns.get("dma", 0) for s in loaded)
        waits.append(ahead + sum(length.get(n, 0) for n in later))
    return max(sum(length.values()), total["dma"], *waits)


def _loads(step: Step, tensors: Mapping[str, None]) -> bool:
    """Whether the step loads one of the tensors for several steps."""
    return isinstance(step.spec, Load) and step.spec.tensor in tensors


def identity(facts: Facts) -> Iterator[str]:
    """The plan is for this target."""
    if facts.plan.target != facts.target.name:
        yield f"the plan is for target {facts.plan.target!r}, not {facts.target.name!r}"
