"""The instruction table: verifier, simulator, costs and emitters derive everything from its rows.

Source of signatures and operand rules: AWS Neuron SDK docs, nki/api/nki/isa/__init__.py (NKI 0.6).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from nkigen_cp.ir.nki import cycles, meaning
from nkigen_cp.ir.nki.kernel import Memory, Operand

ON_CHIP = (Memory.SBUF, Memory.PSUM)
DMA_READS = (Memory.INPUT, Memory.OUTPUT, Memory.HBM, Memory.SBUF)
DMA_WRITES = (Memory.OUTPUT, Memory.HBM, Memory.SBUF)


class Role(enum.Enum):
    """What a parameter is, and with it which values it takes."""

    OUT = "out"  # a view, written
    ACCUMULATE = "accumulate"  # a view, written; also read when parameter "accumulate" holds
    UPDATE = "update"  # a view, read and written
    IN = "in"  # a view, read
    VECTOR = "vector"  # a (P, 1) view, read, or a number
    NUMBER = "number"
    INTEGER = "integer"  # an int, or affine in loop variables
    CONDITION = "condition"  # a bool, or an affine that holds where its value is above 0
    OP = "op"  # ALU operator, by its nki.language name
    ACTIVATION = "activation"  # activation function, by its nki.language name
    CHOICE = "choice"  # one of the parameter's choices
    FLAG = "flag"
    PATTERN = "pattern"  # ((step, count), ...), outermost first

    @property
    def writes(self) -> bool:
        return self in (Role.OUT, Role.ACCUMULATE, Role.UPDATE)

    @property
    def reads(self) -> bool:
        return self in (Role.IN, Role.VECTOR, Role.UPDATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. ``memories`` and ``dtype`` restrict a view, ``choices`` a named choice."""

    name: str
    role: Role
    memories: tuple[Memory, ...] = ON_CHIP
    required: bool = True
    default: Operand = None
    dtype: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionRow:
    """One instruction. ``engines`` lists where it runs, the preferred one first.

    ``rules`` names functions of ``rules.RULES`` that hold beside the common ones. ``registers``
    says that it uses its engine's accumulator registers.
    """

    name: str
    engines: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    rules: tuple[str, ...]
    cost: cycles.Formula
    meaning: meaning.Meaning
    registers: bool = False

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)


def _out(name: str = "dst", **more: Any) -> Parameter:
    return Parameter(name=name, role=Role.OUT, **more)


def _in(name: str = "data", **more: Any) -> Parameter:
    return Parameter(name=name, role=Role.IN, **more)


def _optional(name: str, role: Role, default: Operand = None, **more: Any) -> Parameter:
    return Parameter(name=name, role=role, required=False, default=default, **more)


def _required(name: str, role: Role, **more: Any) -> Parameter:
    return Parameter(name=name, role=role, **more)


_SBUF = (Memory.SBUF,)
_PSUM = (Memory.PSUM,)
_REDUCE_RES = _optional("reduce_res", Role.OUT)
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
        ),
        rules=("matmul_shape", "matmul_dtypes", "psum_bank"),
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
