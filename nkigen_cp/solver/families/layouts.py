"""Layouts: what a candidate reads is held; what is held was written natively, loaded or moved."""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Choice, Instance
from nkigen_cp.solver.layout import Layout
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """Needs, origins and spills of every tensor."""
    for choice in instance.choices.values():
        _needs(model, instance, variables, choice)
        _origins(model, instance, variables, choice)


def making(
    instance: Instance, variables: Variables, tensor: str, layout: Layout | None, op: str
) -> list[cp_model.IntVar]:
    """Literals of candidates containing ``op`` that write the tensor in the layout."""
    return [
        v
        for c, v in zip(instance.candidates, variables.chosen, strict=True)
        if op in c.ops and any(m.tensor == tensor and m.layout == layout for m in c.makes)
    ]


def reading(
    instance: Instance, variables: Variables, tensor: str, layout: Layout | None, root: str
) -> list[cp_model.IntVar]:
    """Literals of candidates rooted at ``root`` that read the tensor in the layout."""
    return [
        v
        for c, v in zip(instance.candidates, variables.chosen, strict=True)
        if c.ops[-1] == root and any(n.tensor == tensor and n.layout == layout for n in c.needs)
    ]


def _needs(
    model: cp_model.CpModel, instance: Instance, variables: Variables, choice: Choice
) -> None:
    name = choice.tensor.name
    for root in choice.consumers:
        for x in choice.layouts:
            literals = reading(instance, variables, name, x, root)
            if literals:
                held = [variables.kept[name, x]]
                visit = variables.visiting.get((name, x, root))
                model.add(sum(literals) <= sum(held if visit is None else [*held, visit]))
        if not choice.in_hbm:
            for literal in reading(instance, variables, name, None, root):
                model.add(sum(_in_hbm(instance, variables, choice)) >= literal)


def _in_hbm(instance: Instance, variables: Variables, choice: Choice) -> list[cp_model.IntVar]:
    """Literals that put the tensor into HBM: spills, and producers that write it there."""
    name = choice.tensor.name
    spilled = [variables.spilled[name, x] for x in choice.spills]
    written = [v for p in choice.producers for v in making(instance, variables, name, None, p)]
    return spilled + written


def _origins(
    model: cp_model.CpModel, instance: Instance, variables: Variables, choice: Choice
) -> None:
    name = choice.tensor.name
    moved = variables.moved[name]
    home = _in_hbm(instance, variables, choice)
    backed = choice.in_hbm or name in instance.generated
    native: dict[Layout, list[cp_model.IntVar]] = {}
    for x in choice.layouts:
        per_producer = [making(instance, variables, name, x, p) for p in choice.producers]
        native[x] = per_producer[0] if per_producer else []
        for other in per_producer[1:]:
            model.add(sum(other) == sum(native[x]))
    for x in choice.layouts:
        arriving = [v for m, v in zip(choice.moves, moved, strict=True) if m.target == x]
        model.add(variables.kept[name, x] <= sum([*native[x], *arriving]))
    for move, literal in zip(choice.moves, moved, strict=True):
        if move.source is None:
            if not backed:
                model.add(literal <= sum(home))
        else:
            primary = [*native[move.source]] + [
                v
                for m, v in zip(choice.moves, moved, strict=True)
                if m.source is None and m.target == move.source
            ]
            model.add_implication(literal, variables.kept[name, move.source])
            model.add(literal <= sum(primary))
    for x in choice.layouts:
        spilled = variables.spilled.get((name, x))
        places = [variables.kept[name, x], *([] if spilled is None else [spilled])]
        if native[x]:
            model.add(sum(native[x]) <= sum(places))
        if spilled is not None:
            model.add(spilled <= sum(native[x]))
    if not backed:
        for (tensor, _, _), literal in variables.visiting.items():
            if tensor == name:
                model.add(literal <= sum(home))
