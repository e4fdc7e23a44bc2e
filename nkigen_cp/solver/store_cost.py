"""What DMAs between forms and HBM cost, and the pieces that large ones are split into."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Access, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import Extent, merged, spans
from nkigen_cp.solver.plan import CHUNK, Store, Tiled
from nkigen_cp.solver.plan.layout import Layout, geometry, partition_window
from nkigen_cp.targets.target import Target

PIECE_BYTES = 1 << 20
"""Larger DMAs are split, so that compute starts once the first piece is there. Measured by hand
(expert_notes.md): weights in pieces of 1 MiB rather than one per matrix take a layer from 102.8 to
94.65 us, 256 KiB pieces gain nothing more."""

ROW_BYTES = 2048
"""No split leaves shorter rows in HBM; below about 1.3 KB a descriptor takes its minimum time."""


def store_busy_ns(
    target: Target, source: FactorTensor, into: FactorTensor, layout: Layout | None, spec: Store
) -> float:
    """DMA time of a store; ``layout`` None means that the source lies in HBM too."""
    if layout is None:
        ends = Ends(source=source, into=into, memory=Memory.HBM)
        sizes = {d: spec.digits[d] for d in spec.target.digits}
        hbm = _strides(spec.target, _row_major(into))
        row = _row(sizes, hbm, _strides(spec.source, _row_major(source)))
        return dma_ns(target, ends, 1, math.prod(sizes.values()), row)
    ends = Ends(source=source, into=into, memory=Memory.SBUF)
    pattern = _pattern(source, into, layout, spec)
    total = 0.0
    for part in _parts(source, layout, spec):
        for sizes, times in _pieces({**pattern.sizes, CHUNK: part.chunks}, spec.loops):
            row = _row(sizes, pattern.hbm, pattern.chip)
            one = dma_ns(target, ends, part.partitions, math.prod(sizes.values()), row)
            total += part.times * times * one
    return total


def store_loops(
    source: FactorTensor,
    into: FactorTensor,
    layout: Layout,
    spec: Store,
    walked: Sequence[str] = (),
) -> tuple[Tiled, ...]:
    """Loops over blocks of the outermost free digits that leave at most ``PIECE_BYTES`` per DMA.

    And over the single positions of ``walked`` digits.
    """
    pattern = _pattern(source, into, layout, spec)
    part = max(_parts(source, layout, spec), key=lambda p: p.partitions * p.chunks)
    sizes = {**pattern.sizes, CHUNK: part.chunks}
    loops = [Tiled(digit=d, block=1) for d, n in sizes.items() if d in walked and n > 1]
    sizes |= {t.digit: 1 for t in loops}
    item = max(source.dtype.size_bytes, into.dtype.size_bytes)
    left = part.partitions * math.prod(sizes.values()) * item
    row = min(_row(sizes, pattern.hbm, pattern.chip) * item, ROW_BYTES)
    for digit, size in tuple(sizes.items()):
        if left <= PIECE_BYTES:
            break
        one = left // size
        block = -(-size // -(-size // max(1, PIECE_BYTES // one)))
        while (
            block < size and _row({**sizes, digit: block}, pattern.hbm, pattern.chip) * item < row
        ):
            block *= 2
        if block < size:
            loops.append(Tiled(digit=digit, block=block))
            sizes[digit], left = block, one * block
    return tuple(loops)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """Digits of a DMA from a form, outermost first and CHUNK among them, and their strides."""

    sizes: Mapping[str, int]
    hbm: Mapping[str, int]
    chip: Mapping[str, int]


def _pattern(source: FactorTensor, into: FactorTensor, layout: Layout, spec: Store) -> _Pattern:
    window = partition_window(source, layout, spec.source, spec.digits)
    apart = (*window.walked, *window.run.digits)
    digit = {f.name: i.digit for f, i in zip(source.factors, spec.source.index, strict=True)}
    free = [d for f in geometry(source, layout).free if (d := digit[f.name]) is not None]
    walked = [t.digit for t in spec.loops if t.digit != CHUNK]
    moving = dict.fromkeys((*walked, *spec.target.digits))
    repeated = [d for d in moving if d not in free and d not in apart]
    hbm = _strides(spec.target, _row_major(into))
    chip = _strides(spec.source, _form_strides(source, layout))
    if window.run.digits:
        hbm[CHUNK] = hbm[window.run.digits[0]] * window.run.block
        chip[CHUNK] = _chunk_stride(source, layout)
    sizes = {d: spec.digits[d] for d in repeated} | {CHUNK: 1}
    return _Pattern(sizes=sizes | {d: spec.digits[d] for d in free}, hbm=hbm, chip=chip)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """``times`` DMAs of so many partitions and chunks, before they are split."""

    partitions: int
    chunks: int
    times: int


def _parts(source: FactorTensor, layout: Layout, spec: Store) -> list[_Part]:
    """All chunks together, or one by one where the first or the last is not full."""
    window = partition_window(source, layout, spec.source, spec.digits)
    walks = math.prod(spec.digits[d] for d in window.walked)
    if not window.run.digits:
        return [_Part(partitions=1, chunks=1, times=walks)]
    size, block = spec.digits[window.run.digits[0]], window.run.block
    inner = window.run.partitions // block
    head = min(-window.offset % block, size)
    if not head and size % block == 0:
        return [_Part(partitions=block * inner, chunks=size // block, times=walks)]
    found = [_Part(partitions=head * inner, chunks=1, times=walks)] if head else []
    return found + [
        _Part(partitions=s.extent * inner, chunks=1, times=walks * s.times)
        for s in spans(size - head, block)
    ]


def _pieces(
    sizes: Mapping[str, int], loops: Sequence[Tiled]
) -> Iterator[tuple[Mapping[str, int], int]]:
    """(sizes, times) of the DMAs that loops over blocks make."""
    blocks = [spans(sizes[t.digit], t.block) for t in loops]
    for combo in itertools.product(*blocks):
        cut = {t.digit: s.extent for t, s in zip(loops, combo, strict=True)}
        yield {**sizes, **cut}, math.prod(s.times for s in combo)


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
