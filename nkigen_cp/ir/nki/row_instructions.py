"""Rows of the instruction table for functions of rows: what one partition has is one row."""

from __future__ import annotations

from nkigen_cp.ir.nki import cycles, rowwise
from nkigen_cp.ir.nki.instruction_row import InstructionRow, Role, optional, read, required, written

ROW_INSTRUCTIONS: tuple[InstructionRow, ...] = (
    InstructionRow(
        name="tensor_scalar_cumulative",
        engines=("vector",),
        parameters=(
            written(),
            read("src"),
            required("op0", Role.OP),
            required("op1", Role.OP),
            required("imm0", Role.VECTOR),
            optional("reduce_cmd", Role.CHOICE, "reset_reduce", choices=("reduce", "reset_reduce")),
        ),
        rules=(
            "same_shape",
            "vector_shape",
            "engine_ops",
            "arithmetic_ops",
            "folding_op1",
            "no_wide_integers",
        ),
        cost=cycles.streaming,
        meaning=rowwise.tensor_scalar_cumulative,
        registers=True,
    ),
    InstructionRow(
        name="max8",
        engines=("vector",),
        parameters=(written(), read("src")),
        rules=("row_of_eights", "eights"),
        cost=cycles.streaming,
        meaning=rowwise.max8,
    ),
    InstructionRow(
        name="nc_find_index8",
        engines=("vector",),
        parameters=(written(), read(), read("vals")),
        rules=("row_of_eights", "eights", "place_dtype"),
        cost=cycles.streaming,
        meaning=rowwise.nc_find_index8,
    ),
    InstructionRow(
        name="nc_match_replace8",
        engines=("vector",),
        parameters=(written(), read(), read("vals"), required("imm", Role.NUMBER)),
        rules=("row_of_eights", "eights", "replaced_shape"),
        cost=cycles.streaming,
        meaning=rowwise.nc_match_replace8,
    ),
)
