"""Recognises the additive causal masks of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.ir.rewrite.region import Places
from nkigen_cp.ir.rewrite.restrict import axis_along
from nkigen_cp.ir.tensor.graph import Array, Graph, Op, Operand

QUERY, KEY = "query", "key"

MASKED_MAX = -9000.0
"""Masked scores are at most this: -10000 as bfloat16 holds it is -9984."""

_ROWS = 256  # compared at a time: the mask of 16,384 tokens is half a gigabyte


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalMask:
    """The op that adds a causal mask to scores, both of them as it reads them.

    ``axes`` says where queries and keys run in the op, ``dims`` where they lie in the mask, each by
    ``QUERY`` and ``KEY``; ``size`` is how many there are of both.
    """

    op: Op
    scores: Operand
    mask: Operand
    axes: Places
    dims: Places
    size: int


def causal_mask(graph: Graph, op: Op) -> CausalMask | None:
    """The causal mask that an op adds, or None.

    It is a constant with one query and one key dim of equal size: 0 where the key is not after the
    query, and one value of at most ``MASKED_MAX`` where it is.
    """
    if op.kind != "add" or len(op.operands) != 2:
        return None
    for mask, scores in (op.operands, op.operands[::-1]):
        if mask.tensor in graph.constants and scores.tensor not in graph.constants:
            return _mask(graph, op, mask, scores)
    return None


def _mask(graph: Graph, op: Op, mask: Operand, scores: Operand) -> CausalMask | None:
    held, array = graph.tensors[mask.tensor], graph.constants[mask.tensor]
    long = [d for d, size in enumerate(held.shape) if size > 1]
    found = [axis_along(op, mask, held, d) for d in long]
    axes = [a for a in found if a is not None]
    if len(long) != 2 or len(axes) != 2 or axes[0] == axes[1]:
        return None
    square: Any = np.reshape(array, [held.shape[d] for d in long])
    for names, matrix in (((QUERY, KEY), square), ((KEY, QUERY), square.T)):
        if _is_causal(matrix):
            return CausalMask(
                op=op,
                scores=scores,
                mask=mask,
                axes=dict(zip(names, axes, strict=True)),
                dims=dict(zip(names, long, strict=True)),
                size=len(matrix),
            )
    return None


def _is_causal(matrix: Array) -> bool:
    """Whether a matrix is 0 up to its diagonal and one large negative number above it."""
    rows, size = matrix.shape
    inside: Any = matrix[0, -1]
    if rows != size or not float(inside) <= MASKED_MAX:
        return False
    zero = np.zeros((), matrix.dtype)
    return all(
        np.array_equal(block, np.where(np.tri(len(block), size, k, np.bool_), zero, inside))
        for k in range(0, size, _ROWS)
        for block in (matrix[k : k + _ROWS],)
    )
