"""Layouts: what a candidate reads is held; what is held was written natively, loaded or moved."""

from __future__ import annotations

from collections.abc import Mapping

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Choice, Instance
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


def _reading(
    variables: Variables, choice: Choice, layout: Layout | None, root: str
) -> list[cp_model.IntVar]:
    """Literals of candidates rooted at ``root`` that read the tensor in the layout."""
    return [variables.chosen[i] for i in choice.readers.get((layout, root), ())]


def _needs(model: cp_model.CpModel, variables: Variables, choice: Choice) -> None:
    name = choice.tensor.name
    for root in choice.consumers:
        for x in choice.layouts:
            literals = _reading(variables, choice, x, root)
            if literals:
                held = [variables.kept[name, x]]
                visit = variables.visiting.get((name, x, root))
                model.add(sum(literals) <= sum(held if visit is None else [*held, visit]))
        if not choice.in_hbm:
            for literal in _reading(variables, choice, None, root):
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
    native: dict[Layout, list[cp_model.IntVar]] = {}
    for x in choice.layouts:
        per_producer = [_making(variables, choice, x, p) for p in choice.producers]
        native[x] = per_producer[0] if per_producer else []
        for other in per_producer[1:]:
            model.add(sum(other) == sum(native[x]))
    _arrivals(model, variables, choice, native)
    _homes(model, variables, choice, native)
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
    for move, literal in zip(choice.moves, moved, strict=True):
        if move.source is not None:
            loads = [
                moved[j]
                for j in choice.arrivals.get(move.source, ())
                if choice.moves[j].source is None
            ]
            model.add_implication(literal, variables.kept[name, move.source])
            model.add(literal <= sum([*native[move.source], *loads]))


def _homes(
    model: cp_model.CpModel,
    variables: Variables,
    choice: Choice,
    native: Mapping[Layout, list[cp_model.IntVar]],
) -> None:
    """What a producer writes is kept or spilled; only what was written can be spilled."""
    name = choice.tensor.name
    for x in choice.layouts:
        spilled = variables.spilled.get((name, x))
        places = [variables.kept[name, x], *([] if spilled is None else [spilled])]
        if native[x]:
            model.add(sum(native[x]) <= sum(places))
        if spilled is not None:
            model.add(spilled <= sum(native[x]))


def _loads(model: cp_model.CpModel, variables: Variables, choice: Choice) -> None:
    """An intermediate can be loaded only after it was put into HBM."""
    name = choice.tensor.name
    home = _in_hbm(variables, choice)
    for move, literal in zip(choice.moves, variables.moved[name], strict=True):
        if move.source is None:
            model.add(literal <= sum(home))
    for (tensor, _, _), literal in variables.visiting.items():
        if tensor == name:
            model.add(literal <= sum(home))
