"""Recipes: several instructions that compute one op, planned and priced as if they were one.

The parts run one after the other on the same engine and over the same elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.nki.cycles import Formula, Work
from nkigen_cp.ir.nki.kernel import Operand
from nkigen_cp.ir.nki.meaning import Meaning, select
from nkigen_cp.ir.nki.row_recipes import ROW_RECIPES
from nkigen_cp.ir.nki.table import INSTRUCTIONS, InstructionRow, Parameter, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One instruction: its parameters by the recipe's operands, and numbers of its own."""

    instruction: str
    operands: Mapping[str, str]
    numbers: Mapping[str, Operand] = field(default_factory=dict[str, Operand])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The row that a plan sees, and the parts that it becomes."""

    row: InstructionRow
    parts: tuple[Part, ...]


def _cost(parts: tuple[Part, ...]) -> Formula:
    def cost(work: Work) -> float:
        return sum(INSTRUCTIONS[p.instruction].cost(_part_work(p, work)) for p in parts)

    return cost


def _part_work(part: Part, work: Work) -> Work:
    shapes = {name: work.operands[o] for name, o in part.operands.items() if o in work.operands}
    return replace(work, operands=shapes)


def _recipe(
    name: str, parameters: tuple[Parameter, ...], meaning: Meaning, parts: tuple[Part, ...]
) -> Recipe:
    engines = tuple(
        e
        for e in INSTRUCTIONS[parts[0].instruction].engines
        if all(e in INSTRUCTIONS[p.instruction].engines for p in parts)
    )
    row = InstructionRow(
        name=name,
        engines=engines,
        parameters=parameters,
        rules=(),
        cost=_cost(parts),
        meaning=meaning,
    )
    return Recipe(row=row, parts=parts)


def _tile(name: str, role: Role = Role.IN) -> Parameter:
    return Parameter(name=name, role=role)


RECIPES: Mapping[str, Recipe] = {
    r.row.name: r
    for r in (
        _recipe(
            "select",
            (_tile("dst", Role.OUT), *map(_tile, ("predicate", "on_true", "on_false"))),
            select,
            (
                Part(instruction="tensor_copy", operands={"dst": "dst", "src": "on_false"}),
                Part(
                    instruction="tensor_copy_predicated",
                    operands={"dst": "dst", "src": "on_true", "predicate": "predicate"},
                ),
            ),
        ),
    )
}

COVERING: Mapping[str, InstructionRow] = {
    **INSTRUCTIONS,
    **{name: recipe.row for name, recipe in RECIPES.items()},
    **{name: recipe.row for name, recipe in ROW_RECIPES.items()},
}
"""What can cover ops in a plan: instructions and recipes."""


def parts_of(name: str) -> tuple[Part, ...]:
    """The instructions that a covering becomes: its own, or those of its recipe."""
    if name in RECIPES:
        return RECIPES[name].parts
    own = {p.name: p.name for p in INSTRUCTIONS[name].parameters}
    return (Part(instruction=name, operands=own),)
