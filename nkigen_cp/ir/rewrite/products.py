"""Products of integers over an axis, which no reduction computes modulo 2**32.

Both halves of the axis are multiplied with each other, element by element, until one is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import substitute
from nkigen_cp.ir.tensor.graph import Axis, DimIndex, Op, Operand, Tensor, Term, identity_index


def multiply_in_pairs(draft: Draft) -> None:
    """Replace every product of integers by multiplications."""
    for op in draft:
        if op.kind == "prod" and not draft.dtype(op.outputs[0].tensor).is_float:
            _Product(draft=draft, op=op).replace()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """All ops that replace one product have its axes; those done with are of one position."""

    draft: Draft
    op: Op

    def replace(self) -> None:
        (value,) = self.op.operands
        sizes = [a.size for a in self.op.axes]
        for n, axis in enumerate(self.op.axes):
            if axis.reduced:
                value, sizes = self.reduced(value, sizes, n)
        dtype = self.draft.dtype(self.op.outputs[0].tensor).name
        self.draft.replace(
            replace(
                self.op,
                kind="copy",
                axes=self.axes(sizes),
                inputs=(value,),
                attrs={"dtype": dtype},
            )
        )

    def reduced(self, value: Operand, sizes: list[int], n: int) -> tuple[Operand, list[int]]:
        """One axis reduced; what an odd number leaves over is multiplied in last."""
        left: list[Operand] = []
        size = sizes[n]
        while size > 1:
            if size % 2:
                left.append(self.at(value, n, DimIndex(offset=size - 1)))
            size //= 2
            sizes = [*sizes[:n], size, *sizes[n + 1 :]]
            upper = self.at(value, n, DimIndex(offset=size, terms=(Term(axis=n),)))
            value = self.multiplied(value, upper, sizes)
        value = self.at(value, n, DimIndex())
        for other in left:
            value = self.multiplied(value, other, sizes)
        return value, sizes

    def at(self, value: Operand, n: int, position: DimIndex) -> Operand:
        """The operand where one axis is at another position."""
        by = {k: DimIndex(terms=(Term(axis=k),)) for k in range(len(self.op.axes))}
        return replace(value, index=substitute(value.index, {**by, n: position}))

    def multiplied(self, a: Operand, b: Operand, sizes: Sequence[int]) -> Operand:
        """A new tensor with the product of two operands."""
        draft, result = self.draft, self.op.outputs[0].tensor
        dims = [n for n, size in enumerate(sizes) if size > 1]
        like = Tensor(
            name="",
            shape=tuple(sizes[n] for n in dims),
            dtype=draft.dtype(result),
            axes=tuple(self.op.axes[n].name for n in dims),
        )
        made = draft.new_tensor(f"{result}_product", like)
        written = Operand(tensor=made, index=identity_index(dims))
        step = Op(
            name=draft.new_op_name(f"{self.op.name}_product"),
            kind="multiply",
            axes=self.axes(sizes),
            inputs=(a, b),
            outputs=(written,),
            source=self.op.source,
        )
        draft.add(step, before=self.op.name)
        return written

    def axes(self, sizes: Sequence[int]) -> tuple[Axis, ...]:
        return tuple(Axis(name=a.name, size=s) for a, s in zip(self.op.axes, sizes, strict=True))
