"""What a graph has to read of its inputs: of those that traced indices address, only that."""

from __future__ import annotations

from math import prod

from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.table import OPS, Family


def read_bytes(graph: Graph, name: str) -> int:
    """Bytes of an input that have to be read."""
    whole, picked = graph.tensors[name].size_bytes, picked_bytes(graph, name)
    return whole if picked is None else min(whole, picked)


def picked_bytes(graph: Graph, name: str) -> int | None:
    """Bytes of a tensor that traced indices address, also through views; None if others read it."""
    total, found = 0, False
    for op in graph.consumers(name):
        family = OPS[op.kind].family
        if family is Family.GATHER and op.operands[1].tensor != name:
            total += prod(a.size for a in op.axes) * graph.tensors[name].dtype.size_bytes
        elif family is Family.COPY and op.outputs[0].tensor not in graph.output_names:
            seen = picked_bytes(graph, op.outputs[0].tensor)
            if seen is None:
                return None
            total += seen
        else:
            return None
        found = True
    return total if found else None
