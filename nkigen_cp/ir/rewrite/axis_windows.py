"""Splitting an axis of the graph into windows, each computed by ops of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.region import Region, in_order, repeat
from nkigen_cp.ir.rewrite.restrict import Span, axis_along, dim_along
from nkigen_cp.ir.tensor.graph import Graph, Op, Operand
from nkigen_cp.ir.tensor.table import Family

_AXIS = "axis"


def split_axis(graph: Graph, tensor: str, dim: int, boundaries: Sequence[int]) -> Graph:
    """Repeat per window every op that the axis along a dim of a tensor runs through.

    Those are the producers of the tensor and everything downstream that carries the axis one to
    one as a parallel axis. What only they write and read becomes one tensor per window; all else
    is read through windows and written as pieces of the whole, so an op that takes the axis whole
    (a contraction over it, a merged dim) stays as it is. The same elements are computed, each as
    before; the graph is returned as it is if no op carries the axis.

    Args:
        graph: any graph, before or after ``canonicalise``.
        tensor: name of a tensor of the graph.
        dim: which dim of it, from 0.
        boundaries: 0, the first position of each further window, and the size of the dim.

    Raises:
        ArgumentError: no such tensor or dim, or the boundaries do not ascend from 0 to its size.
    """
    _check(graph, tensor, dim, boundaries)
    draft = Draft(graph)
    region = _carriers(draft, tensor, dim)
    if len(boundaries) < 3 or not region.ops:
        return graph
    spans = (Span(start=a, stop=b) for a, b in itertools.pairwise(boundaries))
    repeat(draft, region, [{_AXIS: span} for span in spans])
    return in_order(draft)


def _check(graph: Graph, tensor: str, dim: int, boundaries: Sequence[int]) -> None:
    if tensor not in graph.tensors:
        raise ArgumentError(f"graph {graph.name!r} has no tensor {tensor!r} to split")
    shape = graph.tensors[tensor].shape
    if not 0 <= dim < len(shape):
        raise ArgumentError(f"tensor {tensor!r} of shape {shape} has no dim {dim}")
    ascend = all(a < b for a, b in itertools.pairwise(boundaries))
    if not boundaries or not ascend or (boundaries[0], boundaries[-1]) != (0, shape[dim]):
        raise ArgumentError(
            f"boundaries {tuple(boundaries)} do not ascend from 0 to {shape[dim]}, "
            f"the size of dim {dim} of {tensor!r}"
        )


def _carriers(draft: Draft, tensor: str, dim: int) -> Region:
    """The ops through which the axis runs, and the tensors between them."""
    region = Region(tensors={tensor: {_AXIS: dim}})
    for op in draft:
        axis = _carried(draft, region, op)
        if axis is None:
            continue
        region.ops[op.name] = {_AXIS: axis}
        for out in op.outputs:
            found = dim_along(op, out, draft.tensors[out.tensor], axis)
            if found is not None:
                region.tensors.setdefault(out.tensor, {_AXIS: found})
    return region


def _carried(draft: Draft, region: Region, op: Op) -> int | None:
    """The parallel axis of an op that is the region's; the first of several (``x @ x.T``)."""
    if draft.family(op) is Family.RESHAPE:  # its index maps say nothing
        return None
    for operand in (*op.operands, *op.outputs):
        axis = _axis(draft, region, op, operand)
        if axis is not None and not op.axes[axis].reduced:
            return axis
    return None


def _axis(draft: Draft, region: Region, op: Op, operand: Operand) -> int | None:
    place = region.tensors.get(operand.tensor)
    if place is None:
        return None
    return axis_along(op, operand, draft.tensors[operand.tensor], place[_AXIS])
