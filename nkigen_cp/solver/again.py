"""A plan solved again with further pins, from the loops that it has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.check.facts import gather
from nkigen_cp.solver.check.pins import pins as broken_pins
from nkigen_cp.solver.instance import planned
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.solver.plan.pin_names import verify_pins
from nkigen_cp.solver.plan.pins import AnyPin, demands
from nkigen_cp.solver.solve import (
    OPS_AT_ONCE,
    Clock,
    Request,
    canonical,
    planned_program,
    solve_graph,
    structure_of,
)
from nkigen_cp.solver.structure import Structure
from nkigen_cp.targets.target import Target

NEAR = 0.005
"""Gap at which the search of an alternative ends: a question is answered within two per cent."""


FEW_OPS = OPS_AT_ONCE // 2
"""Ops of programs that are solved from the start within seconds, all loops compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A plan and the program that its steps speak about."""

    plan: PlanData
    program: Program


def solved_again(graph: Graph, target: Target, before: Again, pin: AnyPin, clock: Clock) -> Again:
    """The best plan that obeys one more pin than the plan ``before`` does, with the same budget.

    A program of many ops keeps its loops if that is possible; else they are looked for again. Where
    the plan does what is pinned already, it is the plan itself.

    Raises:
        ArgumentError: the pin names what the plan does not have.
        Infeasible: no plan obeys it; the report says what contradicts it.
    """
    plan = before.plan
    options = replace(plan.options, pins=(*plan.options.pins, pin))
    core = canonical(graph, options)
    pinned = replace(plan, options=options)
    request = Request(graph, core, target, options, plan, None, clock, NEAR)
    verify_pins(graph, planned(request.program(Structure())), demands([pin]))
    if obeyed(before.program, pinned, target):
        return Again(plan=pinned, program=before.program)
    if len(core.ops) > FEW_OPS:
        try:
            found = request.solved(structure_of(plan))
            return Again(plan=found, program=request.planned(found))
        except Infeasible:
            pass  # other loops may do it
    found = solve_graph(graph, target, options, hint=plan, clock=clock, near=NEAR)
    return Again(plan=found, program=planned_program(graph, found))


def obeyed(program: Program, plan: PlanData, target: Target) -> bool:
    """Whether a plan meets the pins of its options."""
    return not any(broken_pins(gather(program, plan, target)))
