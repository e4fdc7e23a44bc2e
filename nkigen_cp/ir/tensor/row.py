"""What a row of the op table says.

A row's ``meaning`` is its numpy definition over arrays already gathered into the op's iteration
space (see ``interpret``); reductions receive the axes to reduce. ``alu`` and ``activation`` are the
hardware operators that compute the same function, by their nki.language names. Functions of rows
get their operands with the row as the last axis, and the length of the rows they make; collectives
what all ranks of a group have, the place in the group, and an operator.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Meaning = Callable[..., Any]


class Family(enum.Enum):
    """How an op uses its iteration axes."""

    ELEMENTWISE = "elementwise"  # every axis parallel
    REDUCE = "reduce"  # one operand, reduced axes missing in the output
    CONTRACT = "contract"  # sum of products of two operands over the reduced axes
    COPY = "copy"  # moves data through its index maps, may change the dtype
    ROW = "row"  # takes and makes whole rows: its whole axes are never cut or looped
    RESHAPE = "reshape"  # row-major reinterpretation that does not nest
    GATHER = "gather"  # a dim of the first operand is addressed by the values of the second
    SCATTER = "scatter"  # a whole tensor, a dim of which is written where the second operand says
    COLLECTIVE = "collective"  # whole tensors exchanged between the ranks of a group
    COMPOSITE = "composite"  # defined by a rewrite into other rows


class Result(enum.Enum):
    """How the result's dtype follows from the operands'."""

    PROMOTE = "promote"  # numpy promotion
    FLOAT = "float"  # promotion, integers become float32
    GIVEN = "given"  # attribute "dtype"
    BOOL = "bool"
    INDEX = "index"  # uint32
    CHOSEN = "chosen"  # promotion of all but the first operand, a condition
    FIRST = "first"  # the first operand's


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """One op kind.

    ``arity`` counts inputs, tensors or immediates. ``integers`` says that the op takes integers
    only and is exact for all of them; other ops compute integers in float32.
    """

    name: str
    family: Family
    arity: int
    meaning: Meaning
    result: Result = Result.PROMOTE
    alu: str | None = None
    activation: str | None = None
    commutative: bool = False
    integers: bool = False
    doc: str = ""
