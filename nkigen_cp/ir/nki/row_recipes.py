"""Recipes for functions of rows: how many instructions they are follows from the rows' lengths.

Eight values are found at a time, largest first; they are then replaced in a copy of the row, so
that the next eight come up. Rows shorter than eight are filled up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32, UINT32, DType
from nkigen_cp.ir.nki.cycles import OperandShape, Work
from nkigen_cp.ir.nki.instruction_row import (
    InstructionRow,
    Parameter,
    Role,
    optional,
    read,
    written,
)
from nkigen_cp.ir.nki.kernel import Memory, Operand
from nkigen_cp.ir.nki.meaning import Meaning
from nkigen_cp.ir.nki.rowwise import EIGHT, find_in_rows, top_of_rows
from nkigen_cp.ir.nki.table import INSTRUCTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Elements of the row that is read, and of the one that is made."""

    row: int
    made: int

    @property
    def rounds(self) -> int:
        """How often eight values are found."""
        return -(-self.made // EIGHT)

    @property
    def width(self) -> int:
        """Elements of a copy of the row."""
        return max(self.row, EIGHT)

    @property
    def copied(self) -> bool:
        """Whether the row is too short, or values are replaced in it."""
        return self.rounds > 1 or self.row < EIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """A tile that only the recipe sees."""

    elements: int
    dtype: DType = FLOAT32


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An operand as a whole, or ``size`` elements of a scratch tile."""

    name: str
    start: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPart:
    """One instruction: its tiles, and its other parameters."""

    instruction: str
    tiles: Mapping[str, Tile]
    others: Mapping[str, Operand]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRecipe:
    """The row that a plan sees; the scratch tiles and parts that it becomes.

    ``parts`` gets the lengths and the names of the operands that are tiles.
    """

    row: InstructionRow
    scratch: Callable[[Lengths], Mapping[str, Scratch]]
    parts: Callable[[Lengths, Mapping[str, Operand]], list[RowPart]]

    def scratch_bytes(self, lengths: Lengths) -> int:
        """SBUF bytes per partition of the scratch tiles."""
        tiles = self.scratch(lengths).values()
        return sum(-(-t.elements * t.dtype.size_bytes // 4) * 4 for t in tiles)


def _part(instruction: str, others: Mapping[str, Operand] | None = None, **tiles: Tile) -> RowPart:
    return RowPart(instruction=instruction, tiles=tiles, others=others or {})


def _eight(name: str, turn: int) -> Tile:
    return Tile(name=name, start=EIGHT * turn, size=EIGHT)


def _filled(lengths: Lengths) -> Iterator[RowPart]:
    """A row of less than eight elements, the rest of the copy below all of them."""
    if lengths.row < EIGHT:
        yield _part("memset", {"value": -math.inf}, dst=Tile(name="left", size=EIGHT))
        yield _part("tensor_copy", dst=Tile(name="left", size=lengths.row), src=Tile(name="data"))


def _current(lengths: Lengths, turn: int) -> Tile:
    """Where the row is in a turn: as it was given until the first values are replaced."""
    if turn == 0 and lengths.row >= EIGHT:
        return Tile(name="data")
    return Tile(name="left", size=lengths.width)


def _replaced(lengths: Lengths, turn: int, values: str, by: float) -> Iterator[RowPart]:
    """The values of this turn out of the way, if there is another one."""
    if turn + 1 < lengths.rounds:
        yield _part(
            "nc_match_replace8",
            {"imm": by},
            dst=Tile(name="left", size=lengths.width),
            data=_current(lengths, turn),
            vals=_eight(values, turn),
        )


def _copy_of_row(lengths: Lengths) -> dict[str, Scratch]:
    return {"left": Scratch(elements=lengths.width)} if lengths.copied else {}


def _top_scratch(lengths: Lengths) -> dict[str, Scratch]:
    return {"best": Scratch(elements=EIGHT * lengths.rounds), **_copy_of_row(lengths)}


def _top_parts(lengths: Lengths, given: Mapping[str, Operand]) -> list[RowPart]:
    del given
    parts = [*_filled(lengths)]
    for turn in range(lengths.rounds):
        parts.append(_part("max8", dst=_eight("best", turn), src=_current(lengths, turn)))
        parts += _replaced(lengths, turn, "best", -math.inf)
    best = Tile(name="best", size=lengths.made)
    return [*parts, _part("tensor_copy", dst=Tile(name="dst"), src=best)]


def _find_scratch(lengths: Lengths) -> dict[str, Scratch]:
    values = EIGHT * lengths.rounds
    return {
        "sought": Scratch(elements=values),
        "places": Scratch(elements=values, dtype=UINT32),
        **_copy_of_row(lengths),
    }


def _find_parts(lengths: Lengths, given: Mapping[str, Operand]) -> list[RowPart]:
    value = given.get("value")
    fill = float(value) if isinstance(value, (int, float)) else 0.0
    whole = EIGHT * lengths.rounds
    parts = [*_filled(lengths)]
    if "values" not in given or lengths.made < whole:
        parts.append(_part("memset", {"value": fill}, dst=Tile(name="sought", size=whole)))
    if "values" in given:
        sought = Tile(name="sought", size=lengths.made)
        parts.append(_part("tensor_copy", dst=sought, src=Tile(name="values")))
    for turn in range(lengths.rounds):
        at, values = _eight("places", turn), _eight("sought", turn)
        data = _current(lengths, turn)
        parts.append(_part("nc_find_index8", dst=at, data=data, vals=values))
        # What equals nothing is never found again.
        parts += _replaced(lengths, turn, "sought", math.nan)
    places = Tile(name="places", size=lengths.made)
    return [*parts, _part("tensor_copy", dst=Tile(name="dst"), src=places)]


def lengths_of(work: Work) -> Lengths:
    """The lengths of the rows of an instruction that is to be priced."""
    operands = work.operands
    return Lengths(row=operands["data"].free_size, made=operands["dst"].free_size)


def _shape(tile: Tile, work: Work, scratch: Mapping[str, Scratch]) -> OperandShape:
    if tile.name not in scratch:
        return work.operands[tile.name]
    return OperandShape(
        memory=Memory.SBUF,
        dtype=scratch[tile.name].dtype,
        partitions=work.operands["dst"].partitions,
        free_size=tile.size,
    )


def _recipe(
    name: str,
    parameters: tuple[Parameter, ...],
    meaning: Meaning,
    scratch: Callable[[Lengths], Mapping[str, Scratch]],
    parts: Callable[[Lengths, Mapping[str, Operand]], list[RowPart]],
) -> RowRecipe:
    def cost(work: Work) -> float:
        lengths = lengths_of(work)
        tiles = scratch(lengths)
        return sum(
            INSTRUCTIONS[part.instruction].cost(
                replace(work, operands={n: _shape(t, work, tiles) for n, t in part.tiles.items()})
            )
            for part in parts(lengths, dict.fromkeys(work.operands))
        )

    row = InstructionRow(
        name=name,
        engines=("vector",),
        parameters=parameters,
        rules=(),
        cost=cost,
        meaning=meaning,
    )
    return RowRecipe(row=row, scratch=scratch, parts=parts)


ROW_RECIPES: Mapping[str, RowRecipe] = {
    r.row.name: r
    for r in (
        _recipe("top", (written(), read()), top_of_rows, _top_scratch, _top_parts),
        _recipe(
            "find",
            (
                written(),
                read(),
                Parameter(name="values", role=Role.IN, required=False),
                optional("value", Role.NUMBER),
            ),
            find_in_rows,
            _find_scratch,
            _find_parts,
        ),
    )
}
