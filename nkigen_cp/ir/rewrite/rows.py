"""What the rewrites of row statistics share: rows, and the axes along which they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import normal, used_axes
from nkigen_cp.ir.tensor.graph import Input, Op, Operand


def long_axes(op: Op) -> tuple[int, ...]:
    """The op's axes of more than one position."""
    return tuple(n for n, a in enumerate(op.axes) if a.size != 1)


def axes_of(op: Op, operand: Operand) -> tuple[int, ...]:
    """The long axes along which an operand of the op varies."""
    return used_axes(normal(operand.index, op.axes))


def full_and_row(draft: Draft, op: Op, inputs: Sequence[Input]) -> tuple[Operand, Operand] | None:
    """The inputs of a binary op over floats if the second is a row, or None.

    The first varies along every axis of the op, a row along fewer.
    """
    full, row = inputs
    if not isinstance(full, Operand) or not isinstance(row, Operand):
        return None
    every = long_axes(op)
    floats = all(draft.dtype(o.tensor).is_float for o in (full, row, *op.outputs))
    if not floats or axes_of(op, full) != every or axes_of(op, row) == every:
        return None
    return full, replace(row, index=normal(row.index, op.axes))


def sole_reader(draft: Draft, op: Op) -> Op | None:
    """The op that alone reads what another one writes, through one operand; None otherwise."""
    tensor = op.outputs[0].tensor
    readers = draft.readers(tensor)
    if draft.is_fixed(tensor) or draft.producer(tensor) is None or len(readers) != 1:
        return None
    (reader,) = readers
    return reader if [o.tensor for o in reader.operands].count(tensor) == 1 else None
