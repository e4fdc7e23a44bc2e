"""Regions of a graph that are repeated once per window of the axes that run through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.restrict import Part, Span, axis_along, new_part, restricted
from nkigen_cp.ir.tensor.graph import Graph, Op, Operand

Places = dict[str, int]
"""Where an axis of a region lies, by the name the region gives it: an op's axis, a tensor's dim."""


@dataclass(slots=True)
class Region:
    """The ops to repeat and the tensors between them, and where the region's axes lie in them."""

    ops: dict[str, Places] = field(default_factory=dict[str, Places])
    tensors: dict[str, Places] = field(default_factory=dict[str, Places])


def own_tensors(draft: Draft, region: Region) -> dict[str, Places]:
    """The tensors of the region that ``is_own`` holds for."""
    return {t: p for t, p in region.tensors.items() if is_own(draft, region, t)}


def is_own(draft: Draft, region: Region, tensor: str) -> bool:
    """Whether each window of the tensor is written and read by that window of the region alone."""
    writers, readers = draft.writers(tensor), draft.readers(tensor)
    if draft.is_fixed(tensor) or not writers:
        return False
    return all(
        _follows(draft, region, op, operand)
        for op in (*writers, *readers)
        for operand in (*op.operands, *op.outputs)
        if operand.tensor == tensor
    )


def _follows(draft: Draft, region: Region, op: Op, operand: Operand) -> bool:
    """Whether every window of the op addresses that very window of the tensor."""
    axes, held = region.ops.get(op.name), draft.tensors[operand.tensor]
    return axes is not None and all(
        name in axes and axis_along(op, operand, held, dim) == axes[name]
        for name, dim in region.tensors[operand.tensor].items()
    )


def repeat(
    draft: Draft, region: Region, windows: Sequence[Mapping[str, Span]]
) -> list[dict[str, str]]:
    """Put one copy of the region's ops per window in their place.

    A tensor of the region's own becomes one tensor per window; the windows of any other are
    written into the whole, so they must cover it.

    Args:
        draft: the graph, changed in place. Its order holds again after ``in_order``.
        region: what to repeat.
        windows: the span of each axis of the region, by its name there.

    Returns:
        Per window, the new name of each op.
    """
    own = own_tensors(draft, region)
    names = sorted(region.ops, key=draft.order.index)
    # The windows follow each other, so that what one of them holds is dead before the next begins.
    last, made = names[-1], list[dict[str, str]]()
    for number, spans in enumerate(windows):
        parts: dict[str, Part] = {}
        for tensor, dims in own.items():
            window = {d: spans[axis] for axis, d in dims.items()}
            parts[tensor] = new_part(draft, tensor, window, f"{tensor}.{number}")
        made.append({})
        for name in names:
            window = {a: spans[axis] for axis, a in region.ops[name].items()}
            made[-1][name] = draft.new_op_name(f"{name}.{number}")
            draft.add(restricted(draft.ops[name], made[-1][name], window, parts), before=last)
    for name in names:
        draft.remove(name)
    return made


def in_order(draft: Draft) -> Graph:
    """The frozen graph with every op after the ops it reads from, else as the draft has them."""
    graph = draft.freeze()
    return replace(graph, ops={op.name: op for op in graph.topological()})
