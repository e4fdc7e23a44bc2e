"""Layouts: what a candidate reads is held; what is held was written natively, loaded or moved."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from ortools.sat.python import cp_model

from nkigen_cp.solver.choices import Choice, at_once, in_time
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """Needs, origins and spills of every tensor."""
    for choice in instance.choices.values():
        _needs(model, variables, choice)
        _origins(model, instance, variables, choice)


def _making(
    variables: Variables, choice: Choice, layout: Layout | None, op: str
) -> list[cp_model.IntVar]:
    """Literals of candidates containing ``op`` that write the tensor in the layout."""
    return [variables.chosen[i] for i in choice.makers.get((layout, op), ())]


def _needs(model: cp_model.CpModel, variables: Variables, choice: Choice) -> None:
    name = choice.tensor.name
    for (x, root), indices in choice.readers.items():
        literals = [variables.chosen[i] for i in indices]
        if x is not None:
            places = [variables.kept[name, f] for f in choice.served[x, root]]
            visits = (variables.visiting.get((name, f, root)) for f in choice.served[x, root])
            model.add(sum(literals) <= sum([*places, *(v for v in visits if v is not None)]))
        elif not choice.in_hbm:
            for literal in literals:
                model.add(sum(_in_hbm(variables, choice)) >= literal)


def _in_hbm(variables: Variables, choice: Choice) -> list[cp_model.IntVar]:
    """Literals that put the tensor into HBM: spills, and producers that write it there."""
    name = choice.tensor.name
    spilled = [variables.spilled[name, x] for x in choice.spills]
    written = [v for p in choice.producers for v in _making(variables, choice, None, p)]
    return spilled + written


def _origins(
    model: cp_model.CpModel, instance: Instance, variables: Variables, choice: Choice
) -> None:
    native: dict[Layout, list[cp_model.IntVar]] = {x: [] for x in choice.layouts}
    for x, forms in choice.made.items():
        per_producer = [_making(variables, choice, x, p) for p in choice.producers]
        for other in per_producer[1:]:
            model.add(sum(other) == sum(per_producer[0]))
        for form in forms:
            native[form] = per_producer[0]
        _homes(model, variables, choice, forms, per_producer[0])
    _arrivals(model, variables, choice, native)
    if not (choice.in_hbm or choice.tensor.name in instance.generated):
        _loads(model, variables, choice)


def _arrivals(
    model: cp_model.CpModel,
    variables: Variables,
    choice: Choice,
    native: Mapping[Layout, list[cp_model.IntVar]],
) -> None:
    """A kept form has an origin; a move on chip starts at a kept form that is no move's result."""
    name, moved = choice.tensor.name, variables.moved[choice.tensor.name]
    for x in choice.layouts:
        arriving = [moved[j] for j in choice.arrivals.get(x, ())]
        model.add(variables.kept[name, x] <= sum([*native[x], *arriving]))
    for x, indices in choice.departures.items():
        # A form that is only passed through is gone after one move.
        many = len(indices) * variables.kept[name, x]
        model.add(sum(moved[j] for j in indices) <= variables.passed[name, x] + many)
        model.add_at_most_one(variables.kept[name, x], variables.passed[name, x])
    for move, literal in zip(choice.moves, moved, strict=True):
        if move.source is not None:
            loads = [
                moved[j]
                for j in choice.arrivals.get(move.source, ())
                if choice.moves[j].source is None
            ]
            places = [variables.kept[name, move.source]]
            if at_once(move):
                places.append(variables.passed[name, move.source])
            model.add(literal <= sum(places))
            model.add(literal <= sum([*native[move.source], *loads]))


def _homes(
    model: cp_model.CpModel,
    variables: Variables,
    choice: Choice,
    forms: Sequence[Layout],
    native: list[cp_model.IntVar],
) -> None:
    """What a producer writes is kept or spilled, in one place; only that can be spilled."""
    name = choice.tensor.name
    places = [
        [
            v
            for m in (variables.kept, variables.spilled, variables.passed)
            if (v := m.get((name, x))) is not None
        ]
        for x in forms
    ]
    model.add(sum(native) <= sum(v for place in places for v in place))
    for x in forms:
        if (name, x) in variables.spilled:
            model.add(variables.spilled[name, x] <= sum(native))
    for one, other in itertools.combinations(places, 2):
        for a, b in itertools.product(one, other):
            model.add_at_most_one(a, b)


def _loads(model: cp_model.CpModel, variables: Variables, choice: Choice) -> None:
    """An intermediate can be loaded only after it was put into HBM."""
    name = choice.tensor.name
    home = _in_hbm(variables, choice)
    written = home[len(choice.spills) :]
    for move, literal in zip(choice.moves, variables.moved[name], strict=True):
        if move.source is None:
            timely = [x for x in choice.spills if in_time(choice, x, move.target)]
            stored = [variables.spilled[name, x] for x in timely]
            model.add(literal <= sum([*stored, *written]))
    for (tensor, _, _), literal in variables.visiting.items():
        if tensor == name:
            model.add(literal <= sum(home))
