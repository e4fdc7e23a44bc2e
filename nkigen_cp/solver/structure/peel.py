"""Awkward axes in windows: a main part that has blocks, and a remainder.

An axis longer than the partitions without a divisor that makes a block cannot be looped. Its ops
are repeated for the main part and for the rest, which are programs of their own from there on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.errors import ArgumentError, PlanError
from nkigen_cp.ir.factor.cuts import axes_of
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit, split_axes
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.structure.grow import BLOCKS, proposals
from nkigen_cp.solver.structure.loops import blocks_of
from nkigen_cp.solver.structure.tried import Proposal
from nkigen_cp.targets.target import Target

WORSE = 1.25
"""HBM traffic, of that of inputs and outputs once, from which on windows are tried as well."""

MOST_AXES = 4
"""Awkward axes looked at, the longest first."""


def peeled(graph: Graph, target: Target) -> list[Proposal]:
    """Structures under which everything seems to fit once awkward axes are in windows.

    One axis alone is tried before all of them together; the most promising come first.
    """
    found: list[Proposal] = []
    for splits in _choices(awkward_axes(graph, target)):
        try:
            windows = split_axes(graph, splits)
            fitting = proposals(windows, target)
        except (ArgumentError, PlanError):
            continue  # one window ended another axis, or left a view without factors
        found += [replace(p, structure=replace(p.structure, splits=splits)) for p in fitting]
    return sorted(found, key=lambda p: p.coarse.total_ns)


def worth_peeling(graph: Graph, target: Target, found: Sequence[Proposal]) -> bool:
    """Whether nothing fits without windows, or only with much more HBM traffic than there must."""
    if not found:
        return True
    once = sum(t.size_bytes for t in (*graph.inputs, *graph.results)) / target.hbm_bytes_per_ns
    return min(p.coarse.dma_ns for p in found) > WORSE * once and bool(awkward_axes(graph, target))


def awkward_axes(graph: Graph, target: Target) -> list[AxisSplit]:
    """The axes that no block divides, split behind their last full block, longest first."""
    first = dict.fromkeys(axes_of(graph).values())
    sizes = {(t, d): graph.tensors[t].shape[d] for t, d in first}
    long = sorted((k for k, n in sizes.items() if n > target.partitions), key=lambda k: -sizes[k])
    return [
        AxisSplit(tensor=t, dim=d, at=(sizes[t, d] // target.partitions * target.partitions,))
        for t, d in long
        if not any(b >= target.partitions // 4 for b in blocks_of(sizes[t, d], BLOCKS))
    ][:MOST_AXES]


def _choices(axes: Sequence[AxisSplit]) -> Iterator[tuple[AxisSplit, ...]]:
    yield from ((a,) for a in axes)
    if len(axes) > 1:
        yield tuple(axes)
