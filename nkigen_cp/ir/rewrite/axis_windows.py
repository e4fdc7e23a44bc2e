"""Splitting an axis of the graph into windows, each computed by ops of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.region import Region, in_order, repeat
from nkigen_cp.ir.rewrite.restrict import Span, axis_along, dim_along
from nkigen_cp.ir.tensor.graph import Axis, Graph, Op, Operand, identity_index
from nkigen_cp.ir.tensor.table import Family

_AXIS = "axis"

COMBINED = {"contract": "add", "sum": "add", "max": "maximum", "min": "minimum"}
"""Reducing op -> the op that makes its result of those of two windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisSplit:
    """An axis in windows, named by a dim it runs along; ``at`` is where all but the first begin."""

    tensor: str
    dim: int
    at: tuple[int, ...]


def split_axes(graph: Graph, splits: Sequence[AxisSplit]) -> Graph:
    """``split_axis`` of one axis after the other.

    Raises:
        ArgumentError: no such tensor or dim, or the place lies outside of it.
    """
    for split in splits:
        size = _size(graph, split.tensor, split.dim)
        graph = split_axis(graph, split.tensor, split.dim, (0, *split.at, size))
    return graph


def split_axis(graph: Graph, tensor: str, dim: int, boundaries: Sequence[int]) -> Graph:
    """Repeat per window every op that the axis along a dim of a tensor runs through.

    Those are the producers of the tensor and everything downstream that carries the axis one to
    one as a parallel axis, or reduces it. What only they write and read becomes one tensor per
    window; all else is read through windows and written as pieces of the whole, so an op that takes
    the axis whole (a merged dim) stays as it is. What is reduced over the axis is reduced per
    window and the parts are combined, sums of them in float32; all other elements are computed as
    before. The graph is returned as it is if no op carries the axis.

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
    reducing = [op for op in draft if _reduces(draft, region, op)]
    made = repeat(draft, region, [{_AXIS: span} for span in spans])
    for op in reducing:
        _combine(draft, op, [names[op.name] for names in made])
    return in_order(draft)


def _check(graph: Graph, tensor: str, dim: int, boundaries: Sequence[int]) -> None:
    size = _size(graph, tensor, dim)
    ascend = all(a < b for a, b in itertools.pairwise(boundaries))
    if not boundaries or not ascend or (boundaries[0], boundaries[-1]) != (0, size):
        raise ArgumentError(
            f"boundaries {tuple(boundaries)} do not ascend from 0 to {size}, "
            f"the size of dim {dim} of {tensor!r}"
        )


def _size(graph: Graph, tensor: str, dim: int) -> int:
    if tensor not in graph.tensors:
        raise ArgumentError(f"graph {graph.name!r} has no tensor {tensor!r} to split")
    shape = graph.tensors[tensor].shape
    if not 0 <= dim < len(shape):
        raise ArgumentError(f"tensor {tensor!r} of shape {shape} has no dim {dim}")
    return shape[dim]


def _carriers(draft: Draft, tensor: str, dim: int) -> Region:
    """The ops through which the axis runs, and the tensors between them."""
    region = Region(tensors={tensor: {_AXIS: dim}})
    for op in draft:
        axis = _carried(draft, region, op)
        if axis is None:
            continue
        region.ops[op.name] = {_AXIS: axis}
        for out in op.outputs if not op.axes[axis].reduced else ():
            found = dim_along(op, out, draft.tensors[out.tensor], axis)
            if found is not None:
                region.tensors.setdefault(out.tensor, {_AXIS: found})
    return region


def _carried(draft: Draft, region: Region, op: Op) -> int | None:
    """The axis of an op that is the region's; the first of several (``x @ x.T``).

    Parallel ones come before one that the op reduces, which must write all of its result.
    """
    if draft.family(op) in (Family.RESHAPE, Family.SCATTER, Family.COLLECTIVE):  # whole
        return None
    found = [_axis(draft, region, op, operand) for operand in (*op.operands, *op.outputs)]
    along = [axis for axis in found if axis is not None and not op.axes[axis].whole]
    parallel = [axis for axis in along if not op.axes[axis].reduced]
    if parallel:
        return parallel[0]
    return along[0] if along and _is_splittable(draft, op) else None


def _is_splittable(draft: Draft, op: Op) -> bool:
    """Whether the op reduces to all of one tensor in a way that parts of it can be combined."""
    (out,) = op.outputs[:1]
    shape = draft.tensors[out.tensor].shape
    alone = len(op.outputs) == 1 and len(draft.writers(out.tensor)) == 1
    axes = [axis_along(op, out, draft.tensors[out.tensor], d) for d, n in enumerate(shape) if n > 1]
    whole = all(axis is not None for axis in axes) and len(dict.fromkeys(axes)) == len(axes)
    return alone and whole and op.kind in COMBINED


def _reduces(draft: Draft, region: Region, op: Op) -> bool:
    places = region.ops.get(op.name)
    return places is not None and op.axes[places[_AXIS]].reduced


def _combine(draft: Draft, op: Op, names: Sequence[str]) -> None:
    """Let the windows of a reduction write a part each, and what the op wrote be made of these."""
    result = op.outputs[0].tensor
    like, kind = draft.tensors[result], COMBINED[op.kind]
    if kind == "add" and like.dtype.is_float and like.dtype.size_bytes < FLOAT32.size_bytes:
        like = replace(like, dtype=FLOAT32)
    parts: list[str] = []
    for name in names:
        window = draft.ops[name]
        parts.append(draft.new_tensor(f"{result}.part", like))
        draft.replace(replace(window, outputs=(replace(window.outputs[0], tensor=parts[-1]),)))
    while len(parts) > 1:
        total = draft.new_tensor(f"{result}.part", like) if len(parts) > 2 else result
        index = identity_index(range(len(like.shape)))
        combined = Op(
            name=draft.new_op_name(op.name),
            kind=kind,
            axes=tuple(Axis(name=a, size=n) for a, n in zip(like.axes, like.shape, strict=True)),
            inputs=tuple(Operand(tensor=part, index=index) for part in parts[:2]),
            outputs=(Operand(tensor=total, index=index),),
            source=op.source,
        )
        draft.add(combined, before=names[-1])
        parts[:2] = [total]


def _axis(draft: Draft, region: Region, op: Op, operand: Operand) -> int | None:
    place = region.tensors.get(operand.tensor)
    if place is None:
        return None
    return axis_along(op, operand, draft.tensors[operand.tensor], place[_AXIS])
