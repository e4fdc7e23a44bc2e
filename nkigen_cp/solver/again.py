"""A plan solved again with further pins, from the loops that it has."""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.check.facts import gather
from nkigen_cp.solver.check.pins import pins as broken_pins
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.solver.plan.pin_names import verify_pins
from nkigen_cp.solver.plan.pins import AnyPin, demands
from nkigen_cp.solver.solve import (
    Clock,
    Request,
    canonical,
    planned_program,
    solve_graph,
    structure_of,
)
from nkigen_cp.targets.target import Target


def solved_again(
    graph: Graph, target: Target, plan: PlanData, pin: AnyPin, clock: Clock
) -> PlanData:
    """The best plan that obeys one more pin, with the same budget.

    It has the same loops if that is possible, else those that a solve from the start finds. Where
    the plan does what is pinned already, it is the plan itself.

    Raises:
        ArgumentError: the pin names what the plan does not have.
        Infeasible: no plan obeys it; the report says what contradicts it.
    """
    options = replace(plan.options, pins=(*plan.options.pins, pin))
    core = canonical(graph, options)
    pinned = replace(plan, options=options)
    request = Request(graph, core, target, options, plan, None, clock)
    verify_pins(graph, request.planned(replace(plan, splits=(), cuts=(), loops=())), demands([pin]))
    if obeyed(planned_program(graph, plan), pinned, target):
        return pinned
    try:
        found = request.solved(structure_of(plan))
    except Infeasible:
        return solve_graph(graph, target, options, clock=clock)
    return request.improved(found, target, [])


def obeyed(program: Program, plan: PlanData, target: Target) -> bool:
    """Whether a plan meets the pins of its options."""
    return not any(broken_pins(gather(program, plan, target)))
