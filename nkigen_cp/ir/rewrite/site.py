"""An op to be lowered, as the lowerings of integers and divisions see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nkigen_cp.ir.dtypes import BOOL, INT32, DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.pattern import Pattern, Var
from nkigen_cp.ir.rewrite.ranges import Range, Ranges, limits
from nkigen_cp.ir.rewrite.words import fixed, wrapped
from nkigen_cp.ir.tensor.graph import Immediate, Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An op to be lowered, and what is known of its operands."""

    draft: Draft
    op: Op
    ranges: Ranges

    @property
    def result(self) -> DType:
        return self.draft.dtype(self.op.outputs[0].tensor)

    @property
    def integers(self) -> bool:
        """Whether no operand is a float; numbers are integers if they are written so."""
        return all(self.ranges.of(i) is not None for i in self.op.inputs)

    @property
    def inputs(self) -> list[Range]:
        """The ranges of the operands, all integers."""
        return [r for i in self.op.inputs if (r := self.ranges.of(i)) is not None]

    @property
    def reduced(self) -> int:
        """How many elements the op reduces to one."""
        return math.prod(a.size for a in self.op.axes if a.reduced)

    def dtype(self, n: int) -> DType:
        """The type of an operand; a number is a word."""
        value = self.op.inputs[n]
        return INT32 if isinstance(value, Immediate) else self.draft.dtype(value.tensor)

    def input(self, n: int) -> Pattern:
        """An operand in a template."""
        value = self.op.inputs[n]
        return fixed(value.value) if isinstance(value, Immediate) else Var(f"x{n}")

    def operand(self, n: int, dtype: DType) -> Pattern:
        """An operand in another integer type, modulo its range."""
        value = self.op.inputs[n]
        if isinstance(value, Immediate):
            return wrapped(self.input(n), BOOL, limits(INT32), dtype)
        return wrapped(self.input(n), self.dtype(n), self.inputs[n], dtype)
