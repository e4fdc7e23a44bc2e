"""Covers of functions of rows: which instruction or recipe makes whole rows of whole rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.ir.nki.row_recipes import ROW_RECIPES, Lengths
from nkigen_cp.ir.nki.rowwise import ROW_MAX
from nkigen_cp.ir.tensor.graph import Immediate
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.solver.plan import Cover, Slot, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTemplate:
    """How an instruction computes an op: the parameter of each input, ``operator`` that of its ALU.

    ``numbers`` maps a parameter to the one that takes its place for a number. Rows have at most
    ``longest`` elements (0: any number), results no integers of 32 bits if they pass ``floats``.
    """

    instruction: str
    inputs: tuple[str, ...]
    operator: str = ""
    fixed: Mapping[str, Value] = field(default_factory=dict[str, Value])
    numbers: Mapping[str, str] = field(default_factory=dict[str, str])
    longest: int = 0
    floats: bool = False


_SCAN = RowTemplate(
    instruction="tensor_scalar_cumulative",
    inputs=("src",),
    operator="op1",
    fixed={"op0": "multiply", "imm0": 1.0},
    floats=True,
)
TEMPLATES: Mapping[str, RowTemplate] = {
    "cumsum": _SCAN,
    "cumprod": _SCAN,
    "cummax": _SCAN,
    "cummin": _SCAN,
    "top": RowTemplate(instruction="top", inputs=("data",), longest=ROW_MAX),
    "find": RowTemplate(
        instruction="find",
        inputs=("data", "values"),
        numbers={"values": "value"},
        longest=ROW_MAX,
    ),
}


def row_covers(program: Program, op: FactorOp) -> list[Cover]:
    """The cover of a function of rows, none where its rows do not suit the instruction."""
    template = TEMPLATES[op.kind]
    made = tuple(d.name for d in op.digits if d.whole and not d.reduced)
    reduced = tuple(d.name for d in op.digits if d.whole and d.reduced)
    length = math.prod(op.size(d) for d in reduced or made)
    dtypes = [program.tensors[a.tensor].dtype for a in (*op.accesses, op.output)]
    wide = any(d.size_bytes == 4 and not d.is_float for d in dtypes)
    if (template.longest and length > template.longest) or (template.floats and wide):
        return []
    reads: list[Slot] = []
    params: dict[str, Value] = dict(template.fixed)
    if template.operator:
        params[template.operator] = OPS[op.kind].alu or ""
    for name, given in zip(template.inputs, op.inputs, strict=True):
        if not isinstance(given, Immediate):
            reads.append(Slot(name=name, access=given))
        elif name in template.numbers:
            params[template.numbers[name]] = float(given.value)
        else:
            return []
    cover = Cover(
        instruction=template.instruction,
        ops=(op.name,),
        reads=tuple(reads),
        writes=(Slot(name="dst", access=op.output),),
        params=params,
        engines=COVERING[template.instruction].engines,
        reduced=reduced,
        made=made,
    )
    return [cover]


def row_scratch_bytes(op: FactorOp, cover: Cover) -> int:
    """SBUF bytes per partition of tiles that the cover's recipe uses; 0 of instructions."""
    recipe = ROW_RECIPES.get(cover.instruction)
    if recipe is None:
        return 0
    row = math.prod(op.size(d) for d in cover.reduced)
    made = math.prod(op.size(d) for d in cover.made)
    return recipe.scratch_bytes(Lengths(row=row, made=made))
