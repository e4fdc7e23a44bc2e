"""Plans of the same objective: steps that change engines with each other.

The model sees how busy every engine is, not what it waits for. Where the same work can be shared
out among the engines in another way, the timeline decides which one is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Elementwise, PlanData, Step
from nkigen_cp.solver.work import work_in

Change = tuple[int, Step]
"""A step of the plan by its number, and what it becomes."""


def swapped(instance: Instance, plan: PlanData) -> Iterator[PlanData]:
    """The plan with two steps of one nest on other engines, where the objective stays the same."""
    used: dict[tuple[str, str], None] = {}
    for step in plan.steps:
        used.update(dict.fromkeys((nest_of(step.path), e) for e in step.busy_ns))
    changes = [
        (k, found)
        for k, step in enumerate(plan.steps)
        for found in _elsewhere(instance, step)
        if all((nest_of(step.path), e) in used for e in found.busy_ns)
    ]
    for one, other in itertools.combinations(changes, 2):
        if one[0] != other[0] and nest_of(one[1].path) == nest_of(other[1].path):
            found = _changed(instance, plan, (one, other))
            if found.objective_ns == plan.objective_ns:
                yield found


def _elsewhere(instance: Instance, step: Step) -> list[Step]:
    """The step on other engines."""
    if not isinstance(step.spec, Elementwise) or not step.path:
        return []
    ops = step.spec.cover.ops
    barred = instance.barred
    alike = [
        c
        for i, c in enumerate(instance.candidates)
        if c.ops == ops and c.path == step.path and i not in barred
    ]
    now = next((c for c in alike if c.spec == step.spec), None)
    return [
        replace(step, spec=c.spec, busy_ns=c.busy_ns)
        for c in alike
        if now is not None and _replaces(c, now)
    ]


def _replaces(c: Candidate, now: Candidate) -> bool:
    same = (c.needs, c.makes, c.sbuf_bytes) == (now.needs, now.makes, now.sbuf_bytes)
    return same and c.busy_ns.keys() != now.busy_ns.keys()


def _changed(instance: Instance, plan: PlanData, changes: Sequence[Change]) -> PlanData:
    steps = list(plan.steps)
    for k, step in changes:
        steps[k] = step
    work = work_in(instance, steps)
    return replace(
        plan,
        steps=tuple(steps),
        busy_ns=work.busy_ns,
        objective_ns=work.scaled_objective // SERIAL_SHARE,
    )
