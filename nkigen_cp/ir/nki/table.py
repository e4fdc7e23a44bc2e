"""The instruction table: verifier, simulator, costs and emitters derive everything from its rows.

Source of signatures and operand rules: AWS Neuron SDK docs, nki/api/nki/isa/__init__.py (NKI 0.6).
"""

from __future__ import annotations

from nkigen_cp.ir.nki import cycles, meaning
from nkigen_cp.ir.nki.collective_instructions import COLLECTIVE_INSTRUCTIONS
from nkigen_cp.ir.nki.instruction_row import (
    DMA_READS,
    DMA_WRITES,
    ON_CHIP,
    InstructionRow,
    Parameter,
    Role,
)
from nkigen_cp.ir.nki.instruction_row import optional as _optional
from nkigen_cp.ir.nki.instruction_row import read as _in
from nkigen_cp.ir.nki.instruction_row import required as _required
from nkigen_cp.ir.nki.instruction_row import written as _out
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.nki.picking_instructions import PICKING_INSTRUCTIONS
from nkigen_cp.ir.nki.row_instructions import ROW_INSTRUCTIONS

__all__ = [
    "DMA_READS",
    "DMA_WRITES",
    "INSTRUCTIONS",
    "ON_CHIP",
    "ROWS",
    "InstructionRow",
    "Parameter",
    "Role",
]

_SBUF = (Memory.SBUF,)
_PSUM = (Memory.PSUM,)
_REDUCE_RES = _optional("reduce_res", Role.OUT)
_PERF_MODE = _optional("perf_mode", Role.CHOICE, "none", choices=("none", "double_row"))
_AFFINE = (
    _required("pattern", Role.PATTERN),
    _required("channel_multiplier", Role.INTEGER),
    _optional("offset", Role.INTEGER, 0),
)

ROWS: tuple[InstructionRow, ...] = (
    InstructionRow(
        name="dma_copy",
        engines=("dma",),
        parameters=(_out(memories=DMA_WRITES), _in("src", memories=DMA_READS)),
        rules=("same_elements",),
        cost=cycles.dma_copy,
        meaning=meaning.copy,
    ),
    InstructionRow(
        name="nc_matmul",
        engines=("tensor",),
        parameters=(
            _required("dst", Role.ACCUMULATE, memories=_PSUM, dtype="float32"),
            _in("stationary", memories=_SBUF),
            _in("moving", memories=_SBUF),
            _required("accumulate", Role.CONDITION),
            _PERF_MODE,
        ),
        rules=("double_row", "matmul_shape", "matmul_dtypes", "psum_bank"),
        cost=cycles.matmul,
        meaning=meaning.matmul,
    ),
    InstructionRow(
        name="nc_transpose",
        engines=("tensor",),
        parameters=(_out(memories=_PSUM), _in(memories=_SBUF)),
        rules=("transpose_shape", "transpose_dtype", "psum_bank"),
        cost=cycles.transpose,
        meaning=meaning.transpose,
    ),
    InstructionRow(
        name="tensor_copy",
        engines=("vector", "scalar", "gpsimd"),
        parameters=(_out(), _in("src")),
        rules=("same_shape",),
        cost=cycles.one_input,
        meaning=meaning.copy,
    ),
    InstructionRow(
        name="memset",
        engines=("vector", "gpsimd"),
        parameters=(_out(), _required("value", Role.NUMBER)),
        rules=("memset_value",),
        cost=cycles.streaming,
        meaning=meaning.memset,
    ),
    InstructionRow(
        name="tensor_tensor",
        engines=("vector", "gpsimd"),
        parameters=(_out(), _in("data1"), _in("data2"), _required("op", Role.OP)),
        rules=("same_shape", "one_psum_input", "engine_ops", "binary_ops", "bit_dtypes"),
        cost=cycles.tensor_tensor,
        meaning=meaning.tensor_tensor,
    ),
    InstructionRow(
        name="tensor_scalar",
        engines=("vector", "scalar", "gpsimd"),
        parameters=(
            _out(),
            _in(),
            _required("op0", Role.OP),
            _required("operand0", Role.VECTOR),
            _optional("reverse0", Role.FLAG, False),
            _optional("op1", Role.OP),
            _optional("operand1", Role.VECTOR),
            _optional("reverse1", Role.FLAG, False),
        ),
        rules=(
            "same_shape",
            "vector_shape",
            "vector_float32",
            "scalar_pairs",
            "gpsimd_rsqrt",
            "engine_ops",
            "unary_operands",
            "paired_operand",
            "one_op_class",
            "bit_dtypes",
        ),
        cost=cycles.tensor_scalar,
        meaning=meaning.tensor_scalar,
    ),
    InstructionRow(
        name="scalar_tensor_tensor",
        engines=("vector",),
        parameters=(
            _out(),
            _in(),
            _required("op0", Role.OP),
            _required("operand0", Role.VECTOR),
            _required("op1", Role.OP),
            _in("operand1"),
            _optional("reverse0", Role.FLAG, False),
            _optional("reverse1", Role.FLAG, False),
        ),
        rules=(
            "same_shape",
            "vector_shape",
            "one_psum_input",
            "engine_ops",
            "arithmetic_ops",
            "binary_op1",
            "unary_operands",
        ),
        cost=cycles.two_inputs,
        meaning=meaning.scalar_tensor_tensor,
    ),
    InstructionRow(
        name="tensor_reduce",
        engines=("vector",),
        parameters=(
            _out(),
            _required("op", Role.OP),
            _in(),
            _required("num_axes", Role.INTEGER),
            _optional("negate", Role.FLAG, False),
        ),
        rules=("reduce_shape", "engine_ops", "reducing_op", "bit_dtypes"),
        cost=cycles.tensor_reduce,
        meaning=meaning.tensor_reduce,
    ),
    InstructionRow(
        name="activation",
        engines=("scalar",),
        parameters=(
            _out(),
            _required("op", Role.ACTIVATION),
            _in(),
            _optional("bias", Role.VECTOR),
            _optional("scale", Role.VECTOR, 1.0, dtype="float32"),
            _optional("reduce_op", Role.CHOICE, choices=("add",)),
            _REDUCE_RES,
            _optional(
                "reduce_cmd",
                Role.CHOICE,
                "idle",
                choices=("idle", "reset", "reduce", "reset_reduce"),
            ),
        ),
        rules=("same_shape", "vector_shape", "activation_function", "activation_reduce"),
        cost=cycles.streaming,
        meaning=meaning.activation,
        registers=True,
    ),
    InstructionRow(
        name="reciprocal",
        engines=("vector",),
        parameters=(_out(), _in()),
        rules=("same_shape",),
        cost=cycles.reciprocal,
        meaning=meaning.reciprocal,
    ),
    InstructionRow(
        name="tensor_scalar_reduce",
        engines=("vector",),
        parameters=(
            _out(),
            _in(),
            _required("op0", Role.OP),
            _required("operand0", Role.VECTOR),
            _required("reduce_op", Role.OP),
            _REDUCE_RES,
            _optional(
                "reduce_cmd", Role.CHOICE, "reset_reduce", choices=("reduce", "reset_reduce")
            ),
            _optional("negate", Role.FLAG, False),
        ),
        rules=(
            "same_shape",
            "vector_shape",
            "vector_float32",
            "engine_ops",
            "arithmetic_ops",
            "unary_operands",
            "accumulating_op",
        ),
        cost=cycles.streaming,
        meaning=meaning.tensor_scalar_reduce,
        registers=True,
    ),
    InstructionRow(
        name="tensor_copy_predicated",
        engines=("vector",),
        parameters=(
            Parameter(name="dst", role=Role.UPDATE),
            _in("src"),
            _in("predicate"),
            _optional("reverse_pred", Role.FLAG, False),
        ),
        rules=("same_shape", "predicate_dtype", "same_dtype", "one_psum_input"),
        cost=cycles.chosen,
        meaning=meaning.tensor_copy_predicated,
    ),
    InstructionRow(
        name="select_reduce",
        engines=("vector",),
        parameters=(
            _out(),
            _in("predicate"),
            _in("on_true"),
            _required("on_false", Role.VECTOR, dtype="float32"),
            _optional("reverse_pred", Role.FLAG, False),
        ),
        rules=("same_shape", "vector_shape", "predicate_dtype", "select_dtype", "one_psum_input"),
        cost=cycles.chosen,
        meaning=meaning.select_reduce,
    ),
    InstructionRow(
        name="iota",
        engines=("gpsimd",),
        parameters=(_out(memories=_SBUF), *_AFFINE),
        rules=("pattern_size",),
        cost=cycles.streaming,
        meaning=meaning.iota,
    ),
    InstructionRow(
        name="affine_select",
        engines=("gpsimd",),
        parameters=(
            _out(memories=_SBUF),
            *_AFFINE[:2],
            _in("on_true_tile", memories=_SBUF),
            _required("on_false_value", Role.NUMBER),
            _optional("cmp_op", Role.OP, "equal"),
            _AFFINE[2],
        ),
        rules=("same_shape", "pattern_size", "comparison"),
        cost=cycles.streaming,
        meaning=meaning.affine_select,
    ),
    *ROW_INSTRUCTIONS,
    *PICKING_INSTRUCTIONS,
    *COLLECTIVE_INSTRUCTIONS,
    InstructionRow(
        name="bn_stats",
        engines=("vector",),
        parameters=(_out(), _in()),
        rules=("bn_stats_shape",),
        cost=cycles.streaming,
        meaning=meaning.bn_stats,
    ),
    InstructionRow(
        name="bn_aggr",
        engines=("vector",),
        parameters=(_out(), _in()),
        rules=("bn_aggr_shape",),
        cost=cycles.bn_aggr,
        meaning=meaning.bn_aggr,
    ),
)

INSTRUCTIONS: dict[str, InstructionRow] = {row.name: row for row in ROWS}
