"""The order of a plan's steps, and how far the iterations of its loops overlap.

Which instructions run where is decided before; here every level of the plan, inner loops first,
gets the order and the delays with which its engines wait least. A schedule is taken only if the
timeline says that it is faster than the order it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.lowering.lower import lower_plan, lower_steps
from nkigen_cp.schedule.improve import pipelined, reordered
from nkigen_cp.schedule.measure import Measure
from nkigen_cp.schedule.problem import gather
from nkigen_cp.schedule.rigid import Schedule
from nkigen_cp.schedule.settle import settled
from nkigen_cp.schedule.tree import Level, level_of, levels
from nkigen_cp.simulate.timeline import simulated
from nkigen_cp.solver.pack import places
from nkigen_cp.solver.plan import PlanData, Step
from nkigen_cp.solver.solve import Clock
from nkigen_cp.targets.target import Target

WORTH = 0.99
"""A new order is taken if it needs less than this share of the time of the old one."""


def clock(target: Target) -> Clock:
    """Steps in the order found here, and times as the engine timeline has them."""
    return Clock(
        ordered=lambda program, plan: scheduled(program, plan, target),
        time_ns=lambda program, plan: simulated(lower_plan(program, plan), target).latency_ns,
    )


def scheduled(program: Program, plan: PlanData, target: Target) -> PlanData:
    """The plan with its steps in the best order found; ``program`` is the one it was made for."""
    for path in levels(plan):
        plan = _improved(program, plan, target, level_of(plan, path))
    return plan


def _improved(program: Program, plan: PlanData, target: Target, level: Level) -> PlanData:
    if len(level.items) == 1:
        return plan
    measure = Measure(program=program, plan=plan, target=target, path=level.path)
    problem = gather(measure, level, target)
    effort = plan.options.effort
    found = pipelined(problem, effort) if level.path else reordered(problem, effort)
    as_it_is = found is not None and not level.path and found.order == tuple(sorted(found.order))
    if found is None or as_it_is:
        return plan
    rooms = [room.place for room in problem.rooms]
    changed = _applied(plan, level, found, dict(zip(rooms, found.copies, strict=True)), target)
    if changed is None:
        return plan
    before, after = (_time_ns(program, p, target, level) for p in (plan, changed))
    return changed if after <= WORTH * before else plan


def _time_ns(program: Program, plan: PlanData, target: Target, level: Level) -> float:
    """All iterations of the level's loop, inside one iteration of the loops around it."""
    steps = plan.steps[level.start : level.stop]
    return simulated(lower_steps(program, plan, steps, level.path[:-1]), target).latency_ns


def _applied(
    plan: PlanData, level: Level, found: Schedule, copies: Mapping[str, int], target: Target
) -> PlanData | None:
    depth = len(level.path)
    steps: list[Step] = list(plan.steps[: level.start])
    for k in found.order:
        steps += [_delayed(s, depth - 1, found.delays[k]) for s in level.items[k].steps]
    steps += plan.steps[level.stop :]
    place = places(plan.forms)
    counts = {f.name: copies[p] for f in plan.forms if (p := place[f.name]) in copies}
    return settled(plan, steps, counts, target)


def _delayed(step: Step, depth: int, delay: int) -> Step:
    if depth < 0:
        return step
    delays = list(step.delays or (0,) * len(step.path))
    delays[depth] = delay
    return replace(step, delays=tuple(delays) if any(delays) else ())
