"""What stores cost: DMAs from a form, or from HBM, through index maps into an HBM tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Access, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import Extent, Span, merged, spans
from nkigen_cp.solver.plan import CHUNK, Store
from nkigen_cp.solver.plan.layout import Layout, geometry, partition_window
from nkigen_cp.targets.target import Target


def store_busy_ns(
    target: Target, source: FactorTensor, into: FactorTensor, layout: Layout | None, spec: Store
) -> float:
    """DMA time of a store; ``layout`` None means that the source lies in HBM too."""
    hbm = _strides(spec.target, _row_major(into))
    ends = Ends(source=source, into=into, memory=Memory.HBM if layout is None else Memory.SBUF)
    if layout is None:
        sizes = {d: spec.digits[d] for d in spec.target.digits}
        row = _row(sizes, hbm, _strides(spec.source, _row_major(source)))
        return dma_ns(target, ends, 1, math.prod(sizes.values()), row)
    window = partition_window(source, layout, spec.source, spec.digits)
    chip = _strides(spec.source, _form_strides(source, layout))
    apart = (*window.walked, *window.run.digits)
    digit = {f.name: i.digit for f, i in zip(source.factors, spec.source.index, strict=True)}
    free = [d for f in geometry(source, layout).free if (d := digit[f.name]) is not None]
    repeated = [d for d in spec.target.digits if d not in free and d not in apart]
    walks = math.prod(spec.digits[d] for d in window.walked)
    if not window.run.digits:
        sizes = {d: spec.digits[d] for d in (*repeated, *free)}
        row = _row(sizes, hbm, chip)
        return walks * dma_ns(target, ends, 1, math.prod(sizes.values()), row)
    outer, block = window.run.digits[0], window.run.block
    hbm[CHUNK], chip[CHUNK] = hbm[outer] * block, _chunk_stride(source, layout)
    inner = window.run.partitions // block
    head = min(-window.offset % block, spec.digits[outer])
    aligned = not head and spec.digits[outer] % block == 0
    total = 0.0
    for span in (
        *([Span(extent=head, times=1)] if head else []),
        *spans(spec.digits[outer] - head, block),
    ):
        together = span.times if aligned else 1
        sizes = {d: spec.digits[d] for d in repeated}
        sizes |= {CHUNK: together} | {d: spec.digits[d] for d in free}
        row = _row(sizes, hbm, chip)
        one = dma_ns(target, ends, span.extent * inner, math.prod(sizes.values()), row)
        total += span.times // together * one
    return walks * total


def _row_major(tensor: FactorTensor) -> list[int]:
    strides, step = [0] * len(tensor.factors), 1
    for k in range(len(strides) - 1, -1, -1):
        strides[k], step = step, step * tensor.factors[k].size
    return strides


def _form_strides(tensor: FactorTensor, layout: Layout) -> list[int]:
    strides, step = dict[str, int](), 1
    for factor in reversed(geometry(tensor, layout).free):
        strides[factor.name], step = step, step * factor.size
    return [strides.get(f.name, 0) for f in tensor.factors]


def _chunk_stride(tensor: FactorTensor, layout: Layout) -> int:
    return math.prod(f.size for f in geometry(tensor, layout).free)


def _strides(access: Access, factors: Sequence[int]) -> dict[str, int]:
    """Elements that a step of each digit moves."""
    pairs = zip(access.index, factors, strict=True)
    return {i.digit: i.step * stride for i, stride in pairs if i.digit is not None}


def _row(sizes: Mapping[str, int], *sides: Mapping[str, int]) -> int:
    """Elements contiguous on every side, ``sizes`` being in the order of the DMA."""
    rows: list[int] = []
    for strides in sides:
        pattern = merged([Extent(size=n, stride=strides.get(d, 0)) for d, n in sizes.items()])
        rows.append(pattern[-1].size if pattern and pattern[-1].stride == 1 else 1)
    return min(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What a DMA reads and what it writes; ``memory`` is where it reads."""

    source: FactorTensor
    into: FactorTensor
    memory: Memory


def dma_ns(target: Target, ends: Ends, partitions: int, elements: int, row: int) -> float:
    """One DMA into HBM of ``elements`` per partition in rows of ``row``."""
    sides = {
        name: OperandShape(
            memory=memory,
            dtype=tensor.dtype,
            partitions=partitions,
            free_size=elements,
            run_bytes=row * tensor.dtype.size_bytes,
        )
        for name, memory, tensor in (
            ("dst", Memory.HBM, ends.into),
            ("src", ends.memory, ends.source),
        )
    }
    return busy_ns(target, "dma_copy", "dma", sides)
