"""Removes what is computed twice and what nobody reads."""

from __future__ import annotations

from collections.abc import Hashable

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import normal
from nkigen_cp.ir.tensor.graph import Immediate, Input, Op, Operand
from nkigen_cp.ir.tensor.table import OPS


def share_common_ops(draft: Draft) -> None:
    """Let identical ops be one: same kind, inputs, attributes, axes, result shape and dtype.

    The result of the first op serves all readers. Two outputs that are the same stay two.
    """
    first: dict[Hashable, str] = {}
    for op in draft:
        if len(op.outputs) != 1 or draft.producer(op.outputs[0].tensor) is None:
            continue
        kept = draft.ops[first.setdefault(_op_key(op, draft), op.name)]
        if kept.name != op.name:
            _merge(kept.outputs[0].tensor, op, draft)


def _merge(kept: str, op: Op, draft: Draft) -> None:
    result = op.outputs[0].tensor
    if not (result in draft.protected and kept in draft.protected):
        draft.remove(op.name)
        draft.unite(kept, result)


def _op_key(op: Op, draft: Draft) -> Hashable:
    out = op.outputs[0]
    tensor = draft.tensors[out.tensor]
    inputs = [_input_key(i, op) for i in op.inputs]
    if OPS[op.kind].commutative:
        inputs.sort(key=repr)
    return (
        op.kind,
        tuple(inputs),
        tuple(sorted(op.attrs.items())),
        tuple((a.size, a.reduced, a.whole) for a in op.axes),
        (tensor.shape, tensor.dtype.name, normal(out.index, op.axes)),
    )


def _input_key(value: Input, op: Op) -> Hashable:
    if isinstance(value, Immediate):
        return (type(value.value).__name__, repr(value.value))
    return (value.tensor, normal(value.index, op.axes))


def remove_dead_ops(draft: Draft) -> None:
    """Remove every op whose results reach no output and no mutated input."""
    for name in reversed(tuple(draft.order)):
        if all(_is_dead(out, draft) for out in draft.ops[name].outputs):
            draft.remove(name)


def _is_dead(out: Operand, draft: Draft) -> bool:
    return out.tensor not in draft.protected and not draft.readers(out.tensor)
