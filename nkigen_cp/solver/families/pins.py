"""Pins: what each demand of the user rules out, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.pins import Ruling
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """Every demand holds."""
    for ruling in instance.rulings:
        add_one(model, variables, ruling, ())


def add_one(
    model: cp_model.CpModel,
    variables: Variables,
    ruling: Ruling,
    guards: Sequence[cp_model.IntVar],
) -> None:
    """One demand holds if all of the guards do."""
    off = [~g for g in guards]
    barred = [v for i, v in enumerate(variables.chosen) if i in ruling.barred]
    for held in (variables.kept, variables.passed):
        barred += [v for key in ruling.forms if (v := held.get(key)) is not None]
    barred += [v for (t, _), v in variables.spilled.items() if t in ruling.unspilled]
    barred += [v for (t, _, _), v in variables.visiting.items() if t in ruling.unvisited]
    for literal in barred:
        model.add_bool_or([*off, ~literal])
    for tensor in ruling.stored:
        spills = [v for (t, _), v in variables.spilled.items() if t == tensor]
        model.add_bool_or([*off, *spills])
