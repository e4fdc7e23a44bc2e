"""Inputs read, and outputs written, only in disjoint windows become one HBM tensor per window.

HBM is row-major and any window of it can be loaded for itself, so windows need not share factors
or layouts: the columns of a fused projection weight that make queries are factored into query
heads, those that make keys into key heads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import OPAQUE, HbmWindow, Program
from nkigen_cp.ir.tensor.graph import Graph, Input, Op, Operand, Tensor

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First position and extent in every dim."""

ROW_MIN_BYTES = 2048
"""Shorter DMA rows than this lose bandwidth (AWS DMA guidance): then one whole load is better."""


def separate_inputs(
    graph: Graph, updated: Iterable[str] = ()
) -> tuple[Graph, dict[str, HbmWindow]]:
    """The graph reading window tensors, and which window of which input each of them is.

    The values of inputs after their update in place are read as inputs are.
    """
    windows: dict[str, HbmWindow] = {}
    tensors: dict[str, Tensor] = dict(graph.tensors)
    moved: dict[tuple[str, tuple[int, ...]], str] = {}
    for name in (*graph.input_names, *updated):
        if name in graph.input_names and name in graph.result_names:
            continue
        numbers = itertools.count()
        for starts, shape in _windows(graph, name) or _only_window(graph, name):
            part = next(n for k in numbers if (n := f"{name}.{k}") not in tensors)
            windows[part] = HbmWindow(base=name, offsets=starts)
            tensors[part] = replace(graph.tensors[name], name=part, shape=shape)
            moved[name, starts] = part
    ops = {n: _reading(op, moved) for n, op in graph.ops.items()}
    return replace(graph, tensors=tensors, ops=ops), windows


def _windows(graph: Graph, name: str) -> list[Box]:
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
    cut = _cut(tensor, parts)
    if len(parts) < 2 or not cut or not _disjoint(parts):
        return []
    return parts if _in_runs(tensor, parts) or any(_uneven(parts, d) for d in cut) else []


def _only_window(graph: Graph, name: str) -> list[Box]:
    """The window that is all anybody reads, if that is not most of the tensor."""
    found: dict[Box, None] = {}
    for op in graph.consumers(name):
        for operand in op.operands:
            shape = _extents(op, operand, views=True) if operand.tensor == name else None
            if operand.tensor == name and shape is None:
                return []
            if shape is not None:
                found[tuple(d.offset for d in operand.index), shape] = None
    parts = list(found)
    size = graph.tensors[name].size
    return parts if len(parts) == 1 and 2 * math.prod(parts[0][1]) <= size else []


def _cut(tensor: Tensor, parts: Sequence[Box]) -> list[int]:
    """The dims along which some part is not the whole."""
    return [
        d
        for d, n in enumerate(tensor.shape)
        if any((s[d], shape[d]) != (0, n) for s, shape in parts)
    ]


def _in_runs(tensor: Tensor, parts: Sequence[Box]) -> bool:
    """Whether one dim is cut, and every part has long runs in HBM."""
    cut = _cut(tensor, parts)
    row = min(math.prod(shape[cut[-1] :]) for _, shape in parts) if cut else 0
    return len(cut) == 1 and row * tensor.dtype.size_bytes >= ROW_MIN_BYTES


def _disjoint(parts: Sequence[Box]) -> bool:
    return not any(
        all(
            max(a, b) < min(a + m, b + n)
            for a, b, m, n in zip(one, other, size, extent, strict=True)
        )
        for (one, size), (other, extent) in itertools.combinations(parts, 2)
    )


def _uneven(parts: Sequence[Box], dim: int) -> bool:
    """Whether the windows have no block of a dim in common, so that they can share no factors."""
    common = math.gcd(*(n for starts, shape in parts for n in (starts[dim], shape[dim])))
    return common < min(shape[dim] for _, shape in parts)


def _extents(op: Op, operand: Operand, *, views: bool = False) -> tuple[int, ...] | None:
    """Positions read along every dim; None unless each dim is one run of an axis.

    Where data says what is read, all of it may be.
    """
    if op.kind in OPAQUE or (op.kind == "copy" and not views):
        return None
    sizes: list[int] = []
    for dim in operand.index:
        if len(dim.terms) > 1 or dim.picked or any(t.stride != 1 for t in dim.terms):
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


def separate_outputs(graph: Graph) -> tuple[Graph, dict[str, HbmWindow]]:
    """The graph writing a tensor per part of an output, and which part of which each of them is.

    Those are the outputs that nobody reads and that ops write in windows, of several sizes or of
    long runs in HBM: then no loop has to be at the same place of all of them.
    """
    pieces: dict[str, HbmWindow] = {}
    tensors: dict[str, Tensor] = dict(graph.tensors)
    ops = dict(graph.ops)
    for name in graph.result_names:
        writers = graph.producers(name)
        found = [
            (tuple(d.offset for d in o.outputs[0].index), _extents(o, o.outputs[0]))
            for o in writers
        ]
        parts = [(starts, shape) for starts, shape in found if shape is not None]
        read = bool(graph.consumers(name)) or any(len(o.outputs) > 1 for o in writers)
        if read or len(parts) < len(writers) or len(parts) < 2:
            continue
        if len({shape for _, shape in parts}) == 1 and not _in_runs(graph.tensors[name], parts):
            continue
        for k, (op, (starts, shape)) in enumerate(zip(writers, parts, strict=True)):
            part = f"{name}.{k}"
            pieces[part] = HbmWindow(base=name, offsets=starts)
            tensors[part] = replace(graph.tensors[name], name=part, shape=shape)
            index = tuple(replace(d, offset=0) for d in op.outputs[0].index)
            ops[op.name] = replace(op, outputs=(Operand(tensor=part, index=index),))
    return replace(graph, tensors=tensors, ops=ops), pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Factors of dim ``dim`` that are no factors of the whole, which has ``size`` positions there.

    At most one of them can be more than one position in an access.
    """

    dim: int
    factors: tuple[str, ...]
    strides: tuple[int, ...]
    size: int
    offset: int


def joints(program: Program, tensor: str) -> tuple[Joint, ...]:
    """The dims of a window whose blocks do not divide the whole, or the place where it starts."""
    window = program.windows.get(tensor) or program.pieces.get(tensor)
    if window is None:
        return ()
    held, whole = program.tensors[tensor], program.graph.tensors[window.base].shape
    found: list[Joint] = []
    for d, (size, offset) in enumerate(zip(whole, window.offsets, strict=True)):
        factors = held.dims[d]
        strides = tuple(math.prod(f.size for f in factors[k + 1 :]) for k in range(len(factors)))
        inner = strides[0] if factors else size
        if size % inner or offset % inner or (size > 1 and not factors):
            names = tuple(f.name for f in factors)
            found.append(Joint(dim=d, factors=names, strides=strides, size=size, offset=offset))
    return tuple(found)
