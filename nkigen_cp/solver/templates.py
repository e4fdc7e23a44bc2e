"""Templates: which single instructions compute which chains of ops.

A template is a chain of stages from the innermost op to the root. Every stage says what kind of op
it takes and which of the instruction's parameters it fills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.nki.alu import ALU
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.solver.plan import Value

ARITHMETIC = tuple(row.name for row in ALU.values() if not row.bits and not row.unary)
BITS = tuple(row.name for row in ALU.values() if row.bits and not row.unary)
EXACT = ("add", "multiply")
"""What GpSimd computes of 32-bit integers modulo 2**32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One op of a chain.

    ``takes`` is "alu", "integers" (ALU operators of ops that are exact), "activation" or "copy";
    ``operand`` the parameter its second input fills, which is a "number", a "scalar" (a number or a
    column) or a "tensor".
    """

    takes: str
    operator: str = ""
    only: tuple[str, ...] = ()
    operand: str = ""
    operand_is: str = ""
    operand_dtypes: tuple[str, ...] = ()
    reverse: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One instruction as a chain of stages; ``narrow_only`` needs a result of at most 16 bits."""

    instruction: str
    stages: tuple[Stage, ...]
    data: str = "data"
    engines: tuple[str, ...] = ("vector",)
    fixed: tuple[tuple[str, Value], ...] = ()
    narrow_only: bool = False


_F32 = ("float32",)
_OP0 = Stage(
    takes="alu",
    operator="op0",
    only=ARITHMETIC,
    operand="operand0",
    operand_is="scalar",
    operand_dtypes=_F32,
    reverse="reverse0",
)
_OP1 = replace(_OP0, operator="op1", operand="operand1", reverse="reverse1")
_TENSOR1 = replace(_OP1, operand_is="tensor", operand_dtypes=())
_SCALE = Stage(
    takes="alu", only=("multiply",), operand="scale", operand_is="scalar", operand_dtypes=_F32
)
_BIAS = Stage(takes="alu", only=("add",), operand="bias", operand_is="scalar")
_BITS0 = replace(_OP0, takes="integers", only=BITS, operand_is="number", operand_dtypes=())
_BITS1 = replace(_BITS0, operator="op1", operand="operand1", reverse="reverse1")
_COARSE_ACT = ("reciprocal",)
_EXACT_ACT = tuple(
    row.activation
    for row in OPS.values()
    if row.activation is not None and row.activation not in _COARSE_ACT
)
_ACT = Stage(takes="activation", operator="op", only=_EXACT_ACT)
_RECIPROCAL = Stage(takes="activation", only=_COARSE_ACT)
_MUL = replace(_OP0, only=("multiply",), reverse="")
_ADD = replace(_OP0, only=("add",), reverse="")

TEMPLATES: tuple[Template, ...] = (
    Template(
        instruction="tensor_tensor",
        data="data1",
        stages=(
            Stage(
                takes="alu", operator="op", only=ARITHMETIC, operand="data2", operand_is="tensor"
            ),
        ),
        engines=("vector", "gpsimd"),
    ),
    Template(
        instruction="tensor_tensor",
        data="data1",
        stages=(
            Stage(takes="integers", operator="op", only=BITS, operand="data2", operand_is="tensor"),
        ),
    ),
    Template(
        instruction="tensor_tensor",
        data="data1",
        stages=(
            Stage(
                takes="integers", operator="op", only=EXACT, operand="data2", operand_is="tensor"
            ),
        ),
        engines=("gpsimd",),
    ),
    Template(instruction="tensor_scalar", stages=(_BITS0,)),
    Template(instruction="tensor_scalar", stages=(_BITS0, _BITS1)),
    Template(instruction="tensor_scalar", stages=(_OP0,)),
    Template(instruction="tensor_scalar", stages=(_OP0, _OP1)),
    Template(instruction="tensor_scalar", stages=(_MUL,), engines=("scalar",)),
    Template(instruction="tensor_scalar", stages=(_ADD,), engines=("scalar",)),
    Template(
        instruction="tensor_scalar",
        stages=(_MUL, replace(_ADD, operator="op1", operand="operand1")),
        engines=("scalar",),
    ),
    Template(
        instruction="scalar_tensor_tensor",
        stages=(replace(_OP0, operand_dtypes=()), _TENSOR1),
    ),
    Template(instruction="activation", stages=(_ACT,), engines=("scalar",)),
    Template(instruction="activation", stages=(_SCALE, _ACT), engines=("scalar",)),
    Template(instruction="activation", stages=(_BIAS, _ACT), engines=("scalar",)),
    Template(instruction="activation", stages=(_SCALE, _BIAS, _ACT), engines=("scalar",)),
    Template(instruction="reciprocal", stages=(_RECIPROCAL,)),
    Template(
        instruction="activation",
        stages=(replace(_RECIPROCAL, operator="op"),),
        engines=("scalar",),
        narrow_only=True,
    ),
    Template(
        instruction="tensor_copy",
        data="src",
        stages=(Stage(takes="copy"),),
        engines=("vector", "scalar", "gpsimd"),
    ),
)

_SUMMING = tuple(t for t in TEMPLATES if t.instruction == "activation")
_FOLDING = (
    Template(instruction="tensor_scalar_reduce", stages=(replace(_OP0, reverse=""),)),
    # Multiplied by one, even a negative zero stays what it is.
    Template(
        instruction="tensor_scalar_reduce",
        stages=(Stage(takes="copy"),),
        fixed=(("op0", "multiply"), ("operand0", 1.0)),
    ),
)

ACCUMULATORS: Mapping[str, tuple[Template, ...]] = {
    "sum": (*_SUMMING, *_FOLDING),
    "max": _FOLDING,
    "min": _FOLDING,
}
"""Instructions that also fold the rows they write, by the reduction they fold to."""
