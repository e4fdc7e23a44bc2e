"""Copies on chip that bring the free factors of a form into another order.

A store whose target has the factors in another order than its source then has long rows in HBM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.solver.boxes import Extent, merged
from nkigen_cp.solver.candidates import Context, Move, rounded
from nkigen_cp.solver.plan import CHUNK, Reorder
from nkigen_cp.solver.plan.layout import Geometry, Layout, geometry
from nkigen_cp.targets.target import Target

COPY = "tensor_copy"

COPIED_ELEMENTS = 2048
"""Elements per partition above which a copy is split, so that a store starts behind the first.

A copy takes about one per nanosecond, a DMA has about 2000 ns before its first byte."""

PIECE_ELEMENTS = 512
"""Elements per partition that a split leaves: a copy's fixed 60 to 220 ns must stay small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Copies in one order of the free factors; ``strides`` are those of source and target."""

    tensor: FactorTensor
    shape: Geometry
    order: tuple[str, ...]
    strides: tuple[Mapping[str, int], Mapping[str, int]]

    def sizes(self, chunks: int) -> dict[str, int]:
        """Extents of the free digits, CHUNK among them, outermost first."""
        return {d: chunks if d == CHUNK else self.tensor.factor(d).size for d in self.order}


def reorder_moves(
    context: Context, tensor: FactorTensor, source: Layout, target: Layout
) -> list[Move]:
    """Copies between layouts of the same partitions, one way per engine that can copy.

    Of what only one of them fixes, its loops bring one position at a time.
    """
    if _partitions(source) != _partitions(target):
        return []
    a, b = geometry(tensor, source), geometry(tensor, target)
    strides = (_strides(a), _strides(b))
    first, second = ([d for d in x if all(d in y for y in strides)] for x in strides)
    if first == second:
        return []
    ways = [
        _Way(tensor=tensor, shape=b, order=tuple(reversed(order)), strides=strides)
        for order in (first, second)
    ]
    found: list[Move] = []
    for engine in COVERING[COPY].engines:
        timed = [(_copy_ns(context.target, way, engine), way) for way in ways]
        ns, way = min(timed, key=lambda t: t[0])
        loops = _loops(context.target, way)
        spec = Reorder(tensor=tensor.name, order=way.order, loops=loops, engine=engine)
        busy = rounded({engine: ns})
        found.append(
            Move(tensor=tensor.name, source=source, target=target, spec=spec, busy_ns=busy)
        )
    return found


def _partitions(layout: Layout) -> tuple[tuple[str, ...], int, int]:
    return layout.partition, layout.block, layout.replicas


def _strides(shape: Geometry) -> dict[str, int]:
    """Elements between neighbours along every free digit of a form, innermost first."""
    found: dict[str, int] = {}
    step = 1
    for factor in reversed(shape.free):
        found[factor.name] = step
        step *= factor.size
    return found | {CHUNK: step}


def _loops(target: Target, way: _Way) -> tuple[str, ...]:
    """The outermost digits that copies take position by position.

    As many as access patterns need, and more while a copy is long.
    """
    shape = way.shape
    sizes = way.sizes(shape.chunks - (1 if shape.remainder else 0) or 1)
    free = [d for d, n in sizes.items() if n > 1]
    found: list[str] = []
    while free:
        left = math.prod(sizes[d] for d in free)
        short = left <= COPIED_ELEMENTS or left // sizes[free[0]] < PIECE_ELEMENTS
        patterns = (merged([Extent(size=sizes[d], stride=s[d]) for d in free]) for s in way.strides)
        if short and max(map(len, patterns)) <= target.access_free_dims_max:
            break
        found.append(free.pop(0))
    return tuple(found)


def _copy_ns(target: Target, way: _Way, engine: str) -> float:
    """Engine time of all copies: of the full chunks, and of a shorter last one."""
    shape, loops = way.shape, _loops(target, way)
    full = shape.chunks - (1 if shape.remainder else 0)
    parts = [(shape.partitions, full), (shape.remainder * shape.inner, 1)]
    total = 0.0
    for partitions, chunks in parts:
        if not partitions or not chunks:
            continue
        sizes = way.sizes(chunks)
        free = [d for d, n in sizes.items() if n > 1 and d not in loops]
        dst, src = (
            OperandShape(
                memory=Memory.SBUF,
                dtype=way.tensor.dtype,
                partitions=partitions,
                free_size=math.prod(sizes[d] for d in free),
                innermost_stride=strides[free[-1]] if free else 1,
            )
            for strides in reversed(way.strides)
        )
        times = math.prod(sizes[d] for d in loops)
        total += times * busy_ns(target, COPY, engine, {"dst": dst, "src": src})
    return total
