"""Inputs that a program changes in part are updated in place: only the windows are written.

The new value of such an input is a tensor in HBM from the beginning, as the input is; it lies in
the same place. What is written makes tensors of its own, each a window of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import networkx

from nkigen_cp.ir.factor.program import HbmWindow
from nkigen_cp.ir.rewrite.index import normal
from nkigen_cp.ir.tensor.graph import Graph, Op, Operand, Tensor

Window = tuple[tuple[int, ...], tuple[int, ...]]
"""First position and extent in every dim."""


def separate_updates(graph: Graph) -> tuple[Graph, dict[str, HbmWindow], dict[str, str]]:
    """The graph that writes windows alone, what windows they are, and new value -> its input."""
    updated = updates(graph)
    ops = dict(graph.ops)
    tensors: dict[str, Tensor] = dict(graph.tensors)
    pieces: dict[str, HbmWindow] = {}
    for new, name in updated.items():
        writers = graph.producers(new)
        for op in writers:
            if _keeps(op, name):
                del ops[op.name]
        for k, op in enumerate(o for o in writers if not _keeps(o, name)):
            starts, shape = _written(op) or ((), ())
            part = f"{new}.{k}"
            pieces[part] = HbmWindow(base=new, offsets=starts)
            tensors[part] = replace(graph.tensors[new], name=part, shape=shape)
            index = tuple(replace(d, offset=0) for d in op.outputs[0].index)
            ops[op.name] = replace(op, outputs=(Operand(tensor=part, index=index),))
    return replace(graph, tensors=tensors, ops=ops), pieces, updated


def updates(graph: Graph) -> dict[str, str]:
    """New values that can take the place of their inputs, and of which inputs.

    Every reader of an old value must be able to come before what replaces it.
    """
    order = _order(graph)
    found: dict[str, str] = {}
    for name, new in graph.mutated.items():
        writers = graph.producers(new)
        written = [o for o in writers if not _keeps(o, name)]
        if not _pays(graph, writers, written) or any(_copies(graph, o, name) for o in written):
            continue
        waits = order.copy()
        readers = _readers(graph, name, new)
        waits.add_edges_from((r, w.name) for r in readers for w in written)
        waits.remove_nodes_from(o.name for o in writers if _keeps(o, name))
        if networkx.is_directed_acyclic_graph(waits):
            found[new], order = name, waits
    return found


def written_bytes(graph: Graph, new: str) -> int:
    """Bytes of a mutated input that are written: all of it, or the windows."""
    tensor, name = graph.tensors[new], updates(graph).get(new)
    if name is None:
        return tensor.size_bytes
    windows = [_written(o) for o in graph.producers(new) if not _keeps(o, name)]
    return sum(math.prod(w[1]) for w in windows if w is not None) * tensor.dtype.size_bytes


def _order(graph: Graph) -> networkx.DiGraph[str]:
    waits: networkx.DiGraph[str] = networkx.DiGraph()
    waits.add_nodes_from(graph.ops)
    waits.add_edges_from(graph.dag.edges())
    return waits


def _readers(graph: Graph, tensor: str, new: str) -> dict[str, None]:
    """The ops that read a tensor, or a view of it, but for those that write its new value."""
    found: dict[str, None] = {}
    for op in graph.consumers(tensor):
        target = op.outputs[0].tensor
        if target == new:
            continue
        found[op.name] = None
        if op.kind == "copy":
            found |= _readers(graph, target, new)
    return found


def _keeps(op: Op, name: str) -> bool:
    """Whether an op leaves a part of an input where it was."""
    if op.kind != "copy" or op.operands[0].tensor != name:
        return False
    return normal(op.operands[0].index, op.axes) == normal(op.outputs[0].index, op.axes)


def _pays(graph: Graph, writers: Sequence[Op], written: Sequence[Op]) -> bool:
    """Whether more stays than is written, and what is written are plain windows."""
    if not writers or len(written) == len(writers):
        return False
    windows = [_written(o) for o in written]
    size = graph.tensors[writers[0].outputs[0].tensor].size
    total = sum(math.prod(w[1]) for w in windows if w is not None)
    return None not in windows and 2 * total <= size


def _written(op: Op) -> Window | None:
    """The window that an op writes; None unless each dim is one run of an axis."""
    sizes: list[int] = []
    index = op.outputs[0].index
    for dim in index:
        if len(dim.terms) > 1 or any(t.stride != 1 for t in dim.terms):
            return None
        sizes.append(op.axes[dim.terms[0].axis].size if dim.terms else 1)
    return (tuple(d.offset for d in index), tuple(sizes)) if op.kind != "reshape" else None


def _copies(graph: Graph, op: Op, name: str) -> bool:
    """Whether an op moves elements of the input itself, which a DMA would do within one tensor."""
    if op.kind not in ("copy", "reshape"):
        return False
    source = op.operands[0].tensor
    return source == name or any(_copies(graph, o, name) for o in graph.producers(source))
