"""Attention under a causal mask in windows of queries, each over the keys that it can see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.rewrite.attention import attention_region
from nkigen_cp.ir.rewrite.constants import share_constants
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import normal
from nkigen_cp.ir.rewrite.masks import KEY, QUERY, CausalMask, causal_mask
from nkigen_cp.ir.rewrite.region import in_order, repeat
from nkigen_cp.ir.rewrite.restrict import (
    Part,
    Span,
    axis_along,
    dim_along,
    new_part,
    restricted,
)
from nkigen_cp.ir.rewrite.tiled import PARTITIONS
from nkigen_cp.ir.tensor.graph import Graph, Op, Operand


def causal_windows(graph: Graph, parts: int) -> Graph:
    """Let every window of queries read only the keys up to its own end.

    Found is an additive mask (see ``causal_mask``) on scores that then pass through a softmax, with
    or without its row maximum and with casts on the way, and a contraction over the keys. Each of
    ``parts`` windows of queries (of equal size; the last may be smaller) computes scores, maximum,
    exp, sum and product over the keys before its end, and adds the mask only to its last block of
    keys, before which it is 0. The scores' work falls to (parts + 1) / (2 parts).

    The result is the same up to the order of summation if the exp of what is masked is exactly 0:
    no score may be so large that it makes up for a mask of -9000, nor may a value be infinite or
    NaN. Every query sees itself, so no row is masked as a whole. This is what
    ``solve(assume_masked=True)`` allows.

    Args:
        graph: any graph; masks are recognised where they are constants, as after ``canonicalise``.
        parts: number of windows, at least 1; 1 returns the graph as it is.

    Raises:
        ArgumentError: ``parts`` is less than 1.
    """
    if parts < 1:
        raise ArgumentError(f"causal_windows needs at least 1 part, got {parts}")
    if parts > 1:
        for name in graph.ops:
            if name in graph.ops:
                graph = _windowed(graph, name, parts)
    return graph


WINDOWS: tuple[tuple[int, int], ...] = ((2048, 8), (1024, 4), (512, 2))
"""(tokens from which on, windows): more skip more of the masked half, and are more to plan."""

MOST_OPS = 96
"""Ops of a graph up to which it may have more than ``FEW`` windows: all are planned together.

They fill all partitions then: small windows would waste much of their last block.
"""

FEW = 4


def skip_masked_blocks(graph: Graph) -> Graph:
    """``causal_windows`` with as many windows as the length of every attention is worth.

    Graphs of many ops have fewer.
    """
    for name in graph.ops:
        found = causal_mask(graph, graph.ops[name]) if name in graph.ops else None
        graph = graph if found is None else _in_windows(graph, name, found.size)
    return graph


def _in_windows(graph: Graph, name: str, size: int) -> Graph:
    for least, parts in WINDOWS:
        if size >= least:
            windows = _windowed(graph, name, parts)
            even = size % (parts * PARTITIONS) == 0
            if parts <= FEW or (even and len(windows.ops) <= MOST_OPS):
                return windows
    return graph


def _windowed(graph: Graph, name: str, parts: int) -> Graph:
    """The graph with the attention behind one op in windows, if the op adds a causal mask."""
    found = causal_mask(graph, graph.ops[name])
    if found is None:
        return graph
    draft = Draft(graph)
    region = attention_region(draft, found)
    if region is None:
        return graph
    size = -(-found.size // parts)
    starts = range(0, found.size, size)
    queries = [Span(start=s, stop=min(s + size, found.size)) for s in starts]
    windows = [{QUERY: q, KEY: Span(start=0, stop=q.stop)} for q in queries]
    block = _diagonal_block(draft, found, size)
    for q, names in zip(queries, repeat(draft, region, windows), strict=True):
        _mask_diagonal(draft, found, draft.ops[names[name]], q, block)
    share_constants(draft)
    return in_order(draft)


def _diagonal_block(draft: Draft, found: CausalMask, size: int) -> str:
    """Add the mask of one window of queries and keys as a constant: it is the same for all."""
    name, corner = found.mask.tensor, Span(start=0, stop=size)
    block = new_part(draft, name, dict.fromkeys(found.dims.values(), corner), f"{name}.diagonal")
    shape = draft.tensors[block.tensor].shape
    draft.constants[block.tensor] = np.array(draft.constants[name][tuple(map(slice, shape))])
    return block.tensor


def _mask_diagonal(draft: Draft, found: CausalMask, add: Op, queries: Span, block: str) -> None:
    """Let a window's op add the mask to its last block of keys alone; earlier keys are unmasked."""
    rank = len(found.mask.index)
    starts = tuple(queries.start if d in found.dims.values() else 0 for d in range(rank))
    parts = {found.mask.tensor: Part(tensor=block, starts=starts)}
    past, key = Span(start=0, stop=queries.start), found.axes[KEY]
    (scores,) = (o for o in add.operands if o.tensor != found.mask.tensor)
    if past.size:
        writer = _direct_writer(draft, add, scores)
        dim = dim_along(add, scores, draft.tensors[scores.tensor], key)
        if writer is not None and dim is not None:
            parts[scores.tensor] = _write_past(draft, writer, add, dim, queries)
        else:
            dtype = draft.dtype(add.outputs[0].tensor).name
            unmasked = replace(add, kind="copy", inputs=(scores,), attrs={"dtype": dtype})
            name = draft.new_op_name(f"{add.name}.past")
            draft.add(restricted(unmasked, name, {key: past}, {}), before=add.name)
    draft.replace(restricted(add, add.name, {key: queries}, parts))


def _direct_writer(draft: Draft, add: Op, scores: Operand) -> Op | None:
    """The op that can write unmasked scores where the masked ones go, or None."""
    result, held = add.outputs[0], draft.tensors[scores.tensor]
    kept = draft.tensors[result.tensor]
    alike = (held.shape, held.dtype) == (kept.shape, kept.dtype)
    in_place = normal(scores.index, add.axes) == normal(result.index, add.axes)
    alone = [op.name for op in draft.readers(scores.tensor)] == [add.name]
    may = alike and in_place and alone and not draft.is_fixed(scores.tensor)
    return draft.producer(scores.tensor) if may else None


def _write_past(draft: Draft, writer: Op, add: Op, dim: int, queries: Span) -> Part:
    """Split the producer of a window's scores before the keys of the queries themselves.

    Returns:
        The scores of these last keys, to be masked; the others are written past the mask.
    """
    scores, result = writer.outputs[0], add.outputs[0].tensor
    axis = axis_along(writer, scores, draft.tensors[scores.tensor], dim)
    assert axis is not None  # the scores are the region's own
    whole = Part(tensor=result, starts=(0,) * len(scores.index))
    past, name = Span(start=0, stop=queries.start), draft.new_op_name(f"{writer.name}.past")
    into = {scores.tensor: whole}
    draft.add(restricted(writer, name, {axis: past}, into), before=writer.name)
    last = new_part(draft, scores.tensor, {dim: queries}, f"{scores.tensor}.diagonal")
    draft.replace(restricted(writer, writer.name, {axis: queries}, {scores.tensor: last}))
    return last
