"""Inputs that a program changes in part are updated in place: only the windows are written.

The new value of such an input is a tensor in HBM from the beginning, as the input is; it lies in
the same place. What is written makes tensors of its own, each a window of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import networkx

from nkigen_cp.ir.factor.program import OPAQUE, HbmWindow
from nkigen_cp.ir.rewrite.index import is_identity, normal
from nkigen_cp.ir.tensor.graph import Graph, Op, Operand, Tensor

Window = tuple[tuple[int, ...], tuple[int, ...]]
"""First position and extent in every dim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What is done in place: ``updated`` maps new values to their inputs.

    ``pieces`` are the windows that are written, ``returned`` the outputs that are new values.
    """

    updated: dict[str, str]
    pieces: dict[str, HbmWindow]
    returned: dict[str, str]


def separate_updates(graph: Graph) -> tuple[Graph, Updates]:
    """The graph that writes windows alone, and what these are."""
    updated = updates(graph)
    returned = _returned(graph, updated)
    ops = {n: o for n, o in graph.ops.items() if o.outputs[0].tensor not in returned}
    tensors: dict[str, Tensor] = dict(graph.tensors)
    pieces: dict[str, HbmWindow] = {}
    for new, name in updated.items():
        writers = graph.producers(new)
        for op in writers:
            if _keeps(op, name):
                del ops[op.name]
        for k, op in enumerate(o for o in writers if not _keeps(o, name)):
            starts, shape = _reached(graph, op)
            part = f"{new}.{k}"
            pieces[part] = HbmWindow(base=new, offsets=starts)
            tensors[part] = replace(graph.tensors[new], name=part, shape=shape)
            index = tuple(replace(d, offset=0) for d in op.outputs[0].index)
            ops[op.name] = replace(op, outputs=(Operand(tensor=part, index=index),))
    made = Updates(updated=updated, pieces=pieces, returned=returned)
    return replace(graph, tensors=tensors, ops=ops), made


def _returned(graph: Graph, updated: Mapping[str, str]) -> dict[str, str]:
    """The outputs that are nothing but updated values, and of which."""
    found: dict[str, str] = {}
    for out in graph.output_names:
        writers = graph.producers(out)
        source = writers[0].operands[0].tensor if len(writers) == 1 else None
        if source is None or source not in updated or graph.consumers(out):
            continue
        if writers[0].kind == "copy" and is_identity(writers[0], graph.tensors):
            found[out] = source
    return found


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


def stored_bytes(graph: Graph) -> int:
    """Bytes of a graph's results that have to be written: of updated inputs the windows."""
    updated = updates(graph)
    returned = _returned(graph, updated)
    whole = [n for n in graph.result_names if n not in updated and n not in returned]
    size = sum(graph.tensors[n].size_bytes for n in whole)
    for new, name in updated.items():
        elements = sum(_elements(o) or 0 for o in graph.producers(new) if not _keeps(o, name))
        size += elements * graph.tensors[new].dtype.size_bytes
    return size


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
    if not writers or (len(written) == len(writers) and not _scatters(graph, writers)):
        return False
    sizes = [_elements(o) for o in written]
    size = graph.tensors[writers[0].outputs[0].tensor].size
    return None not in sizes and 2 * sum(s or 0 for s in sizes) <= size


def _scatters(graph: Graph, writers: Sequence[Op]) -> bool:
    """Whether the one writer changes what a mutated input has, where traced indices say."""
    op = writers[0]
    return len(writers) == 1 and op.kind == "scatter" and op.operands[0].tensor in graph.mutated


def _elements(op: Op) -> int | None:
    """How many elements an op writes, if that is a plain window or where traced indices say."""
    if op.kind == "scatter":
        return math.prod(a.size for a in op.axes)
    window = _written(op)
    return None if window is None else math.prod(window[1])


def _reached(graph: Graph, op: Op) -> Window:
    """The window that an op may write; a traced index reaches all of the tensor."""
    shape = graph.tensors[op.outputs[0].tensor].shape
    window = _written(op) if op.kind != "scatter" else None
    return window or ((0,) * len(shape), shape)


def _written(op: Op) -> Window | None:
    """The window that an op writes; None unless each dim is one run of an axis."""
    sizes: list[int] = []
    index = op.outputs[0].index
    for dim in index:
        if len(dim.terms) > 1 or any(t.stride != 1 for t in dim.terms):
            return None
        sizes.append(op.axes[dim.terms[0].axis].size if dim.terms else 1)
    return (tuple(d.offset for d in index), tuple(sizes)) if op.kind not in OPAQUE else None


def _copies(graph: Graph, op: Op, name: str) -> bool:
    """Whether an op moves elements of the input itself, which a DMA would do within one tensor."""
    if op.kind not in ("copy", "reshape"):
        return False
    source = op.operands[0].tensor
    return source == name or any(_copies(graph, o, name) for o in graph.producers(source))
