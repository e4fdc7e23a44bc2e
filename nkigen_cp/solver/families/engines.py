"""Engine loads and the objective: the busiest engine, and a share of everything else.

In-order queues never overlap perfectly; ``SERIAL_SHARE`` is the part of all work that is taken to
lie on the critical path. The busiest engine alone stays a lower bound of any schedule.
"""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.variables import Variables, load_ns

SERIAL_SHARE = 8
"""One part in eight."""


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> cp_model.LinearExpr:
    """The makespan covers every engine; returns the objective, in units of 1/8 ns."""
    loads = engine_loads(instance, variables)
    for load in loads.values():
        model.add(variables.makespan >= load)
    return _total([SERIAL_SHARE * variables.makespan, *loads.values()])


def engine_loads(instance: Instance, variables: Variables) -> dict[str, cp_model.LinearExpr]:
    """Busy nanoseconds of each engine as a linear expression."""
    terms: dict[str, list[cp_model.LinearExpr]] = {e: [] for e in ENGINES}
    for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
        for engine, ns in candidate.busy_ns.items():
            terms[engine].append(ns * chosen)
    for name, choice in instance.choices.items():
        for move, literal in zip(choice.moves, variables.moved[name], strict=True):
            for engine, ns in move.busy_ns.items():
                terms[engine].append(ns * literal)
        for x, ns in choice.spills.items():
            terms["dma"].append(ns * variables.spilled[name, x])
    for (name, x, _), literal in variables.visiting.items():
        terms["dma"].append(load_ns(instance.choices[name], x) * literal)
    return {e: _total(t) for e, t in terms.items() if t}


def _total(terms: list[cp_model.LinearExpr]) -> cp_model.LinearExpr:
    return cp_model.LinearExpr.sum(terms)  # pyright: ignore[reportUnknownMemberType]
