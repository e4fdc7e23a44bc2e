"""What a row of the instruction table says: parameters, rules, cost, meaning."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from nkigen_cp.ir.nki import cycles, meaning
from nkigen_cp.ir.nki.kernel import Memory, Operand

ON_CHIP = (Memory.SBUF, Memory.PSUM)
DMA_READS = (Memory.INPUT, Memory.UPDATED, Memory.OUTPUT, Memory.HBM, Memory.SBUF)
HBM = (Memory.INPUT, Memory.UPDATED, Memory.OUTPUT, Memory.HBM)
DMA_WRITES = (Memory.UPDATED, Memory.OUTPUT, Memory.HBM, Memory.SBUF)


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
    GROUPS = "replica groups"  # ((rank, ...), ...)

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
    says that it uses its engine's accumulator registers. ``function`` is its name in ``nki.isa``
    where that is another one. A DMA moves as much as its operand ``moved`` has; the first dim of
    ``addressed`` is taken at the positions that parameter "index" holds. ``module`` is where the
    function is in NKI; a row of ``nki.collectives`` takes ``src`` of all ranks of a group.
    """

    name: str
    engines: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    rules: tuple[str, ...]
    cost: cycles.Formula
    meaning: meaning.Meaning
    registers: bool = False
    function: str = ""
    moved: str = "dst"
    addressed: str = ""
    module: str = "nki.isa"

    @property
    def collective(self) -> bool:
        return self.module == "nki.collectives"

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)


def written(name: str = "dst", **more: Any) -> Parameter:
    """A view that is written."""
    return Parameter(name=name, role=Role.OUT, **more)


def read(name: str = "data", **more: Any) -> Parameter:
    """A view that is read."""
    return Parameter(name=name, role=Role.IN, **more)


def optional(name: str, role: Role, default: Operand = None, **more: Any) -> Parameter:
    """A parameter that may be left out."""
    return Parameter(name=name, role=role, required=False, default=default, **more)


def required(name: str, role: Role, **more: Any) -> Parameter:
    """A parameter that must be given."""
    return Parameter(name=name, role=role, **more)
