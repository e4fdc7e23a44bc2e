"""Operands of contractions that the Tensor Engine multiplies, but cannot turn."""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.ir.dtypes import BFLOAT16
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import align, substitute
from nkigen_cp.ir.rewrite.precision import cast_before
from nkigen_cp.ir.rewrite.shared import share_common_ops
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
        for tensor in dict.fromkeys(o.tensor for o in op.operands if _is_turned(draft, op, o)):
            dtype = draft.dtype(tensor)
            if dtype.is_float and dtype.size_bytes == 1:
                wide = cast_before(draft, tensor, BFLOAT16, op)
                draft.read_instead(op, tensor, cast_before(draft, wide, dtype, op))
    share_common_ops(draft)


def _behind_views(draft: Draft, op: Op, operand: Operand) -> Operand:
    """What an op reads, as the tensor that lies in memory has it."""
    used = {t.axis for place in operand.index for t in place.terms}
    # Axes that the operand lacks do not matter here.
    axes = [a if n in used else replace(a, size=1) for n, a in enumerate(op.axes)]
    while (view := draft.producer(operand.tensor)) is not None:
        by = align(view, draft.tensors[operand.tensor], operand, axes)
        if draft.family(view) is not Family.COPY or by is None:
            break
        (source,) = view.operands
        operand = replace(source, index=substitute(source.index, by))
    return operand


def _is_turned(draft: Draft, op: Op, operand: Operand) -> bool:
    """Whether the innermost dim is contracted, and others are not."""
    operand = _behind_views(draft, op, operand)
    axes = [op.axes[t.axis] for place in operand.index for t in place.terms]
    inner = [op.axes[t.axis] for t in operand.index[-1].terms]
    rows = [a for a in axes if not a.reduced and a.size > 1]
    return bool(rows) and any(a.reduced and a.size > 1 for a in inner)
