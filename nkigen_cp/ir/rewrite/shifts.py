"""Subtracted row statistics become the bias of the activation that follows.

``activation`` computes ``f(data * scale + bias)`` with one bias per row for the price of ``f``
(instructions.md, "activation"), but it cannot subtract. ``exp(x - c)`` is ``exp(x + n)`` with
``n = -c``, computed on the few elements of ``c``: the pass over ``x`` disappears.
"""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import align, plain_dims, renumber
from nkigen_cp.ir.rewrite.rows import axes_of, full_and_row, sole_reader
from nkigen_cp.ir.tensor.graph import Immediate, Op, Operand, Tensor, identity_index
from nkigen_cp.ir.tensor.table import OPS

UNBIASED = ("reciprocal",)
"""Activations that the cover table computes without a bias."""

BIASED = tuple(n for n, row in OPS.items() if row.activation is not None and n not in UNBIASED)
"""Ops that ``activation`` computes of a biased operand."""


def add_negated_rows(draft: Draft) -> None:
    """Let every difference that only an activation reads add the negated row instead.

    ``x - c`` and ``x + (-c)`` are the same number in every float type, and the sum keeps the
    difference's place, name and dtype: nothing is rounded in another way than before.
    """
    for op in draft:
        if op.kind == "subtract" and _feeds_activation(draft, op):
            found = full_and_row(draft, op, op.inputs)
            if found is not None:
                full, row = found
                draft.replace(replace(op, kind="add", inputs=(full, _negated(draft, op, row))))


def _feeds_activation(draft: Draft, op: Op) -> bool:
    """Whether one instruction may compute the op and its only reader."""
    reader = sole_reader(draft, op)
    if reader is None or reader.kind not in BIASED:
        return False
    (read,) = reader.operands
    return align(op, draft.tensors[read.tensor], read, reader.axes) is not None


def _negated(draft: Draft, op: Op, row: Operand) -> Operand:
    """``row * -1`` over the axes that the row uses, as the op reads it."""
    axes = axes_of(op, row)
    whole = plain_dims(row, draft.tensors[row.tensor], op.axes)
    dims = axes if whole is None else whole
    like = Tensor(
        name="",
        shape=tuple(1 if d < 0 else op.axes[d].size for d in dims),
        dtype=FLOAT32,
        axes=tuple(f"d{k}" if d < 0 else op.axes[d].name for k, d in enumerate(dims)),
    )
    tensor = draft.new_tensor(f"{row.tensor}_negated", like)
    result = Operand(tensor=tensor, index=identity_index(dims))
    numbers = {old: new for new, old in enumerate(axes)}
    written = renumber(result, numbers)
    assert isinstance(written, Operand)
    negation = Op(
        name=draft.new_op_name(f"{op.name}_negated"),
        kind="multiply",
        axes=tuple(op.axes[a] for a in axes),
        inputs=(renumber(row, numbers), Immediate(value=-1.0)),
        outputs=(written,),
        source=op.source,
    )
    draft.add(negation, before=op.name)
    return result
