"""Operands of contractions that the Tensor Engine multiplies, but cannot turn."""

from __future__ import annotations

from nkigen_cp.ir.dtypes import BFLOAT16
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.precision import cast_before
from nkigen_cp.ir.tensor.graph import Op, Operand
from nkigen_cp.ir.tensor.table import Family


def widen_to_turn(draft: Draft) -> None:
    """Let operands of one byte that have to be turned pass through bfloat16, which holds them all.

    The contracted axis has to lie on the partitions. Where it is an operand's innermost dim, the
    operand has to be turned: floats of eight bits leave a transpose with 16 bits (trn2.json,
    psum_out_dtype), and DMA moves them element by element, which takes a hundred times as long.
    """
    for op in draft:
        if draft.family(op) is not Family.CONTRACT:
            continue
        for operand in dict.fromkeys(op.operands):
            dtype = draft.dtype(operand.tensor)
            if dtype.is_float and dtype.size_bytes == 1 and _is_turned(op, operand):
                wide = cast_before(draft, operand.tensor, BFLOAT16, op)
                back = cast_before(draft, wide, dtype, op)
                draft.read_instead(op, operand.tensor, back)


def _is_turned(op: Op, operand: Operand) -> bool:
    """Whether the innermost dim is contracted, and others are not."""
    axes = [op.axes[t.axis] for place in operand.index for t in place.terms]
    inner = [op.axes[t.axis] for t in operand.index[-1].terms]
    rows = [a for a in axes if not a.reduced and a.size > 1]
    return bool(rows) and any(a.reduced and a.size > 1 for a in inner)
