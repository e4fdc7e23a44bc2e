"""Reductions to a single value in two stages, so that the partitions share the work.

With nothing left to lie on the partitions, the whole operand would have to be one row of one of
them. Reducing all axes but one first leaves a vector, which the second stage reduces.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.tensor.graph import DimIndex, Op, Operand, Term
from nkigen_cp.ir.tensor.table import Family


def stage_reductions(draft: Draft) -> None:
    """Split every reduction of several axes that leaves a single value."""
    for op in draft:
        long = [n for n, a in enumerate(op.axes) if a.size > 1]
        if (
            draft.family(op) is Family.REDUCE
            and len(long) > 1
            and all(op.axes[n].reduced for n in long)
        ):
            _stage(draft, op, _kept_axis(op, long))


def _kept_axis(op: Op, long: list[int]) -> int:
    """The axis that splits the elements most evenly between the stages; the first of equals."""
    total = math.prod(op.axes[n].size for n in long)
    return min(long, key=lambda n: max(op.axes[n].size, total // op.axes[n].size))


def _stage(draft: Draft, op: Op, kept: int) -> None:
    result = op.outputs[0]
    like, axis = draft.tensors[result.tensor], op.axes[kept]
    kind = FLOAT32 if like.dtype.is_float else like.dtype
    partial = draft.new_tensor(
        f"{result.tensor}_{op.kind}",
        replace(like, shape=(axis.size,), axes=(axis.name,), dtype=kind),
    )
    draft.add(
        replace(
            op,
            name=draft.new_op_name(f"{op.name}_{op.kind}"),
            axes=tuple(
                replace(a, reduced=False) if n == kept else a for n, a in enumerate(op.axes)
            ),
            outputs=(Operand(tensor=partial, index=(DimIndex(terms=(Term(axis=kept),)),)),),
        ),
        before=op.name,
    )
    draft.replace(
        replace(
            op,
            axes=(axis,),
            inputs=(Operand(tensor=partial, index=(DimIndex(terms=(Term(axis=0),)),)),),
            outputs=(replace(result, index=tuple(DimIndex() for _ in result.index)),),
        )
    )
