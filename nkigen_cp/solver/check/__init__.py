"""Independent check of a plan: every constraint re-derived from program, plan and target alone.

Nothing here knows the model or shares its code: the rules read the plan's values, derive geometry,
meaning, memory and prices on their own, and stop at the first breach.
"""

from __future__ import annotations

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.check import (
    contractions,
    coverage,
    delays,
    gathers,
    instructions,
    meaning,
    memory,
    moves,
    nests,
    objective,
    order,
    pins,
    places,
    references,
    scatters,
    updates,
    windows,
)
from nkigen_cp.solver.check.facts import Rule, gather
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.targets.target import Target

RULES: dict[str, Rule] = {
    "target": objective.identity,
    "nests": nests.structure,
    "forms": references.forms,
    "steps": references.steps,
    "slots": references.slots,
    "every op once": coverage.ops,
    "updates in place": updates.in_order,
    "places in HBM": updates.one_place,
    "paths": nests.paths,
    "homes": nests.homes,
    "delays": delays.delays,
    "order under delays": delays.kept_in_order,
    "copies": delays.enough_copies,
    "hidden tensors": coverage.internals,
    "complete forms": order.complete,
    "read after written": order.read_after_written,
    "whole reductions": places.reductions,
    "lifetimes": order.lifetimes,
    "reinterpretation in HBM": order.reinterprets,
    "whole spills": coverage.spills,
    "outputs stored once": coverage.outputs,
    "engines": instructions.engines,
    "dtypes": instructions.dtypes,
    "meaning": meaning.covers_equal_ops,
    "runs": instructions.runs,
    "layouts": instructions.layouts,
    "columns": instructions.columns,
    "loops": instructions.loops,
    "shared places": places.taken_over,
    "roles of digits": contractions.roles,
    "matmul limits": contractions.limits,
    "matmul operands": contractions.operands,
    "streams": contractions.streams,
    "gathers": gathers.gathers,
    "scatters": scatters.scatters,
    "moves": moves.moves,
    "windows": windows.reached,
    "form sizes": memory.sizes,
    "tile sizes": memory.tiles,
    "capacity": memory.capacity,
    "addresses": memory.addresses,
    "prices": objective.prices,
    "objective": objective.sums,
    "residency": order.residency,
    "pins": pins.pins,
}
"""In this order: a rule may rely on those before it."""


def check_plan(program: Program, plan: PlanData, target: Target) -> None:
    """Check a plan against the program it names and the target it is for.

    Raises:
        PlanError: the first rule that does not hold, with the step or form that breaks it.
    """
    facts = gather(program, plan, target)
    for name, rule in RULES.items():
        for problem in rule(facts):
            raise PlanError(f"plan of {plan.kernel!r} breaks rule {name!r}: {problem}")
