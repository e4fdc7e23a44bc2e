"""Tensors that several ops write: the layouts in which every one of them can."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.boxes import runs
from nkigen_cp.solver.candidates import Context
from nkigen_cp.solver.plan.layout import Layout, Run, operand_layout


def output_runs(context: Context, op: FactorOp) -> list[Run]:
    """Runs of the op's output digits that may lie on the partitions.

    For a contraction those of one operand alone: its rows or its columns.
    """
    found = runs(op, context.target)
    if OPS[op.kind].family is not Family.CONTRACT:
        return found
    lhs, rhs = (set(a.digits) for a in op.accesses)
    return [r for r in found if any(set(r.digits) <= side for side in (lhs - rhs, rhs - lhs))]


def piece_layouts(context: Context, tensor: str) -> tuple[Layout, ...] | None:
    """The layouts in which every producer of the tensor can write its piece; None for one alone."""
    writers = context.program.producers(tensor)
    if len(writers) < 2:
        return None
    held = context.program.tensors[tensor]
    found = [
        [x for run in output_runs(context, op) if (x := operand_layout(held, op.output, run))]
        for op in writers
    ]
    # Inside a loop every writer has its own window; the arrangement is what they share.
    shared = [x.shape for x in found[0] if all(any(y.shape == x.shape for y in o) for o in found)]
    return tuple(x for layouts in found for x in layouts if x.shape in shared)
