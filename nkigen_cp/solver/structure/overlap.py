"""Structures whose loads, work and stores overlap, for programs that fit without.

Where SBUF holds all of a program at once, or hardly more than one iteration of a loop, nothing goes
on while the first bytes come and the last ones leave. Then a long axis is taken in parts: engines
work on one of them while the next one comes and the last one leaves, and its tiles are free again
as soon as it is stored. Parts of an even axis are iterations of a loop; of others, and of axes that
ops reduce, they are windows with ops of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.errors import ArgumentError, PlanError
from nkigen_cp.ir.factor.cuts import axes_of
from nkigen_cp.ir.factor.windows import ROW_MIN_BYTES
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit, split_axes
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.structure.loops import dim_of, grown_at
from nkigen_cp.solver.structure.tried import Dim, Proposal, Search, proposal
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.targets.target import Target

OVERLAPPED = 2.0
"""Iterations in SBUF from which on nothing needs to be done."""

PART_BYTES = 1 << 20
"""Bytes of its largest tensor that a part has at least: a DMA takes 2 us before it starts."""

MOST_PARTS = 16
"""Parts of an axis."""

MOST_AXES = 2
"""Axes that are tried, those of the largest tensors."""

MOST_OPS = 128
"""Ops of all windows of an axis."""

UNEVEN = 4
"""Blocks that divide an axis may be one part in so many larger or smaller than wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looped:
    """A loop runs along a dim of a tensor, ``inner`` positions per iteration."""

    tensor: str
    dim: int
    inner: int
    trips: int
    copies: int = 2


def overlapping(graph: Graph, target: Target, found: Sequence[Proposal]) -> list[Proposal]:
    """The most promising structure with an axis in parts, once per axis; none if it needs none.

    Axes that ops reduce are taken where there are no others: their parts have to be combined.
    """
    best = next(iter(found), None)
    if best is None or best.coarse.in_flight >= OVERLAPPED:
        return []
    looped = _looped(best)
    if len(looped) < len(best.program.loops):
        return []  # some loop runs along no input or output
    reduced, wanted = _reduced(graph), list(_wanted(graph, target, best, looped))
    apart = [k for k in wanted if (k.tensor, k.dim) not in reduced]
    tried = [_in_parts(graph, target, looped, k) for k in (apart or wanted)[:MOST_AXES]]
    return [p for p in tried if p is not None and not p.coarse.crowded]


def _wanted(
    graph: Graph, target: Target, best: Proposal, looped: Sequence[_Looped]
) -> Iterator[_Looped]:
    """Every long axis that no loop runs along, with parts of at least ``PART_BYTES``."""
    axes = axes_of(graph)
    seen = dict.fromkeys(axes[k.tensor, k.dim] for k in looped)
    trips = max((best.program.trips(o.path) for o in best.program.ops.values()), default=1)
    for tensor in sorted((*graph.inputs, *graph.results), key=lambda t: -t.size_bytes):
        for dim, size in enumerate(tensor.shape):
            axis = axes[tensor.name, dim]
            if axis in seen:
                continue
            seen[axis] = None
            row = math.prod(tensor.shape[dim:]) * tensor.dtype.size_bytes
            most = min(tensor.size_bytes // trips // PART_BYTES, row // ROW_MIN_BYTES, MOST_PARTS)
            inner = _block(size, most, target.partitions)
            if inner < size:
                count = -(-size // inner)
                yield _Looped(tensor=tensor.name, dim=dim, inner=inner, trips=count)


def _block(size: int, most: int, partitions: int) -> int:
    """Positions of a part, ``size`` for none: whole sets of partitions, or one that is nearly full.

    If possible a divisor.
    """
    if most < 2 or size <= partitions:
        return size
    count = 1 << (most.bit_length() - 1)
    wanted = min(size, max(1, round(size / (count * partitions))) * partitions)
    near = range(wanted - wanted // UNEVEN, min(size - 1, wanted + wanted // UNEVEN) + 1)
    full = (d for d in near if size % d == 0 and (d <= partitions or d % partitions == 0))
    return min(full, key=lambda d: abs(d - wanted), default=wanted)


def _reduced(graph: Graph) -> dict[Dim, None]:
    """Dims along whose axis some op reduces."""
    axes = axes_of(graph)
    found: dict[Dim, None] = {}
    for op in graph.ops.values():
        for operand in op.operands:
            for dim, index in enumerate(operand.index):
                if any(op.axes[t.axis].reduced for t in index.terms):
                    found[axes[operand.tensor, dim]] = None
    return {dim: None for dim, axis in axes.items() if axis in found}


def _looped(p: Proposal) -> list[_Looped]:
    """The loops by the inputs and outputs of the graph that they run along, outer ones first."""
    program = p.program
    borders = dict.fromkeys((*program.inputs, *program.graph.result_names))
    found: dict[str, _Looped] = {}
    for op in program.ops.values():
        for access in (*op.accesses, op.output):
            for k, index in enumerate(access.index if access.tensor in borders else ()):
                if index.loop is not None and index.loop not in found:
                    dim, inner = dim_of(program.tensors[access.tensor], k)
                    loop = program.loops[index.loop]
                    found[loop.name] = _Looped(
                        tensor=access.tensor,
                        dim=dim,
                        inner=inner,
                        trips=loop.trips,
                        copies=loop.copies,
                    )
    return [found[k] for k in program.loops if k in found]


def _in_parts(
    graph: Graph, target: Target, looped: Sequence[_Looped], parts: _Looped
) -> Proposal | None:
    """The loops again, with one more or with all ops in windows; None if there is no program."""
    size = graph.tensors[parts.tensor].shape[parts.dim]
    even = size == parts.inner * parts.trips and (parts.tensor, parts.dim) not in _reduced(graph)
    if even:
        return _with_loops(Search(graph, target), (*looped, parts))
    if parts.trips * len(graph.ops) > MOST_OPS:
        return None
    last = size - parts.inner // 2  # a short rest is no window of its own
    split = AxisSplit(
        tensor=parts.tensor, dim=parts.dim, at=tuple(range(parts.inner, last, parts.inner))
    )
    try:
        found = _with_loops(Search(split_axes(graph, (split,)), target), looped)
    except (ArgumentError, PlanError):
        return None  # one window ended another axis, or left a view without factors
    return found and replace(found, structure=replace(found.structure, splits=(split,)))


def _with_loops(job: Search, looped: Sequence[_Looped]) -> Proposal | None:
    found = proposal(job, Structure())
    for loop in looped:
        found = found and _with_loop(job, found, loop)
    return found


def _with_loop(job: Search, p: Proposal, looped: _Looped) -> Proposal | None:
    """The structure with a loop along that dim."""
    program = p.program
    windows = {**program.windows, **program.pieces}
    names = [looped.tensor, *(n for n, w in windows.items() if w.base == looped.tensor)]
    used = [n for n in names if program.producers(n) or program.consumers(n)][:1]
    known = len(p.structure.loops)
    grown: list[Proposal] = []
    for structure in grown_at(job, p, used, (looped.inner,)):
        new = [replace(k, copies=looped.copies) for k in structure.loops[known:]]
        if new and all(k.trips == looped.trips for k in new):
            found = proposal(job, replace(structure, loops=(*structure.loops[:known], *new)))
            grown += [found] if found is not None else []
    return min(grown, key=lambda q: q.rank(job.target), default=None)
