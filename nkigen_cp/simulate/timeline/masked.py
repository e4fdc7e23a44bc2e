"""Which blocks of the contractions need no work, because a mask removes what they compute.

An additive constant of -10000 or less masks an element: its exponential, beside that of any element
that is not masked, is zero. From the constants on, forwards: what is masked, and what is zero for
that. Backwards: what nobody needs, because everybody who reads it finds it masked. It is assumed
that every row keeps an element that is not masked (``assume_masked`` of ``solve``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.ir.tensor.graph import Array, Graph, Immediate, Op, Operand
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.simulate.timeline.blocks import (
    BLOCK,
    Region,
    both,
    either,
    over_axes,
    over_dims,
    share,
)

MASKED = -10000.0
"""An addend of this or less masks."""


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of a tensor without computing it: where it is masked, and where it is zero.

    A masked element is still an element: only a maximum or an exponential may do without it.
    """

    masked: Region | None = None
    zero: Region | None = None


@dataclass(slots=True, eq=False)
class _Facts:
    graph: Graph
    known: dict[str, _Known] = field(default_factory=dict[str, _Known])
    idle: dict[str, Region | None] = field(default_factory=dict[str, "Region | None"])
    """Per op, the positions over its axes at which nothing has to be done."""

    def seen(self, op: Op, operand: Operand, region: Region | None) -> Region | None:
        """A region of an operand, over the op's axes."""
        return over_axes(op, self.shape(operand), operand, region)

    def shape(self, operand: Operand) -> tuple[int, ...]:
        return self.graph.tensors[operand.tensor].shape


def idle_fractions(graph: Graph) -> dict[str, float]:
    """For every contraction of a core graph, the share of its multiplications that masks remove.

    Only blocks of 128 x 128 that are masked throughout count.
    """
    facts = _Facts(graph=graph)
    for name, array in graph.constants.items():
        facts.known[name] = _Known(masked=masked_blocks(array))
    order = graph.topological()
    for op in order:
        _forward(facts, op)
    for op in reversed(order):
        facts.idle[op.name] = _idle(facts, op)
    return {
        op.name: share(_sizes(op), facts.idle[op.name])
        for op in order
        if OPS[op.kind].family is Family.CONTRACT
    }


def masked_blocks(array: Array) -> Region | None:
    """The blocks of a constant's last two dims that mask throughout; None if there are none."""
    if array.ndim == 0 or array.dtype.kind in "iub":
        return None
    # As the constant's own dtype rounds it: -10000 is -9984 in bfloat16.
    values = cast("NDArray[np.floating[Any]]", array)
    limit = np.asarray(MASKED).astype(values.dtype)
    steps = [1] * (array.ndim - 2) + [BLOCK] * min(2, array.ndim)
    region: Region = np.asarray(values[tuple(slice(None, None, s) for s in steps)] <= limit)
    for corner in np.argwhere(region):
        block = values[tuple(slice(c * s, c * s + s) for c, s in zip(corner, steps, strict=True))]
        region[tuple(corner)] = bool(np.all(block <= limit))
    return region if region.any() else None


def _forward(facts: _Facts, op: Op) -> None:
    """What follows of an op's result from what is known of its operands."""
    tensor = op.outputs[0].tensor
    rule = _RULES.get(op.kind)
    if rule is None or len(facts.graph.producers(tensor)) != 1:
        return
    operands = [
        _Known(
            masked=facts.seen(op, i, facts.known[i.tensor].masked),
            zero=facts.seen(op, i, facts.known[i.tensor].zero),
        )
        if isinstance(i, Operand) and i.tensor in facts.known
        else _Known()
        for i in op.inputs
    ]
    found = rule(op, operands)
    facts.known[tensor] = _Known(
        masked=over_dims(op, facts.shape(op.outputs[0]), op.outputs[0], found.masked),
        zero=over_dims(op, facts.shape(op.outputs[0]), op.outputs[0], found.zero),
    )


def _sizes(op: Op) -> list[int]:
    return [axis.size for axis in op.axes]


def _copied(op: Op, operands: Sequence[_Known]) -> _Known:
    return operands[0]


def _added(op: Op, operands: Sequence[_Known]) -> _Known:
    return _Known(masked=either(_sizes(op), [o.masked for o in operands]))


def _subtracted(op: Op, operands: Sequence[_Known]) -> _Known:
    return _Known(masked=operands[0].masked if operands[1].masked is None else None)


def _multiplied(op: Op, operands: Sequence[_Known]) -> _Known:
    factor = op.inputs[1]
    keeps = isinstance(factor, Immediate) and factor.value >= 1
    return _Known(
        masked=operands[0].masked if keeps else None,
        zero=either(_sizes(op), [o.zero for o in operands]),
    )


def _exponential(op: Op, operands: Sequence[_Known]) -> _Known:
    return _Known(zero=operands[0].masked)


_RULES: Mapping[str, Callable[[Op, Sequence[_Known]], _Known]] = {
    "copy": _copied,
    "add": _added,
    "subtract": _subtracted,
    "multiply": _multiplied,
    "exp": _exponential,
}

_SKIPS: Mapping[str, Callable[[_Known], Region | None]] = {
    "contract": lambda known: known.zero,
    "sum": lambda known: known.zero,
    "max": lambda known: known.masked,
}
"""Ops that leave out operands of which this is known."""


def _idle(facts: _Facts, op: Op) -> Region | None:
    """Where nobody needs the op's result, or where its operands let it do nothing."""
    (out,) = op.outputs
    regions = [facts.seen(op, out, _unneeded(facts, out.tensor))]
    skips = _SKIPS.get(op.kind)
    for operand in op.operands if skips else ():
        known = facts.known.get(operand.tensor)
        if known is not None and skips is not None:
            regions.append(facts.seen(op, operand, skips(known)))
    return either(_sizes(op), regions)


def _unneeded(facts: _Facts, tensor: str) -> Region | None:
    """The region of a tensor that is zero, or that no reader needs."""
    shape = facts.graph.tensors[tensor].shape
    known = facts.known.get(tensor, _Known())
    unread: list[Region | None] = []
    if tensor not in facts.graph.result_names:
        unread = [
            over_dims(reader, facts.shape(operand), operand, facts.idle[reader.name])
            for reader in facts.graph.consumers(tensor)
            for operand in reader.operands
            if operand.tensor == tensor
        ]
    return either(shape, [known.zero, both(shape, unread)])
