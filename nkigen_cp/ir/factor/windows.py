"""Inputs read only in disjoint windows become one HBM tensor per window.

HBM is row-major and any window of it can be loaded for itself, so windows need not share factors
or layouts: the columns of a fused projection weight that make queries are factored into query
heads, those that make keys into key heads.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from nkigen_cp.ir.factor.cuts import Cuts
from nkigen_cp.ir.factor.program import InputWindow
from nkigen_cp.ir.tensor.graph import Graph, Input, Op, Operand, Tensor

ROW_MIN_BYTES = 2048
"""Shorter DMA rows than this lose bandwidth (AWS DMA guidance): then one whole load is better."""


def separate_inputs(
    graph: Graph, together: Collection[str]
) -> tuple[Graph, dict[str, InputWindow]]:
    """The graph reading window tensors, and which window of which input each of them is.

    Inputs in ``together`` stay whole.
    """
    windows: dict[str, InputWindow] = {}
    tensors: dict[str, Tensor] = dict(graph.tensors)
    moved: dict[tuple[str, tuple[int, ...]], str] = {}
    for name in graph.input_names:
        if name in together or name in graph.output_names:
            continue
        for k, (starts, shape) in enumerate(_windows(graph, name)):
            part = f"{name}.{k}"
            windows[part] = InputWindow(base=name, offsets=starts)
            tensors[part] = replace(graph.tensors[name], name=part, shape=shape)
            moved[name, starts] = part
    ops = {n: _reading(op, moved) for n, op in graph.ops.items()}
    return replace(graph, tensors=tensors, ops=ops), windows


def _windows(graph: Graph, name: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(starts, shape) of the windows, or nothing if some reader needs more than one of them."""
    tensor = graph.tensors[name]
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for op in graph.consumers(name):
        for operand in op.operands:
            if operand.tensor == name:
                shape = _extents(op, operand)
                starts = tuple(d.offset for d in operand.index)
                if shape is None or found.setdefault(starts, shape) != shape:
                    return []
    parts = sorted(found.items())
    dims = {
        d for s, shape in parts for d, n in enumerate(tensor.shape) if (s[d], shape[d]) != (0, n)
    }
    if len(parts) < 2 or len(dims) != 1:
        return []
    dim = min(dims)
    ends = [s[dim] + shape[dim] for s, shape in parts]
    apart = all(e <= s[dim] for e, (s, _) in zip(ends, parts[1:], strict=False))
    long = all(
        math.prod(shape[dim:]) * tensor.dtype.size_bytes >= ROW_MIN_BYTES for _, shape in parts
    )
    return parts if apart and long else []


def _extents(op: Op, operand: Operand) -> tuple[int, ...] | None:
    """Positions read along every dim; None unless each dim is one run of an axis."""
    if op.kind in ("copy", "reshape"):
        return None
    sizes: list[int] = []
    for dim in operand.index:
        if len(dim.terms) > 1 or any(t.stride != 1 for t in dim.terms):
            return None
        sizes.append(op.axes[dim.terms[0].axis].size if dim.terms else 1)
    return tuple(sizes)


def _reading(op: Op, moved: Mapping[tuple[str, tuple[int, ...]], str]) -> Op:
    def redirected(value: Input) -> Input:
        if not isinstance(value, Operand):
            return value
        part = moved.get((value.tensor, tuple(d.offset for d in value.index)))
        if part is None:
            return value
        index = tuple(replace(d, offset=0) for d in value.index)
        return Operand(tensor=part, index=index)

    return replace(op, inputs=tuple(redirected(i) for i in op.inputs))


def misfits(graph: Graph, windows: Mapping[str, InputWindow], cuts: Cuts) -> list[str]:
    """Inputs whose windows, once factored, cannot be indexed in the row-major whole."""
    found: list[str] = []
    for part, window in windows.items():
        whole = graph.tensors[window.base].shape
        for d, (size, offset) in enumerate(zip(whole, window.offsets, strict=True)):
            factors = cuts.factors(("tensor", part, d), graph.tensors[part].shape[d])
            inner = math.prod(factors[1:])
            if (size % inner or offset % inner) and window.base not in found:
                found.append(window.base)
    return found
