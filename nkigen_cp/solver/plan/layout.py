"""Layouts: which factors of a tensor lie on the partitions; all others lie in the free dimension.

``partition`` lists factor names, outermost first. The outermost may be longer than fits: ``block``
positions of it are on the partitions at once and the rest become chunks, the outermost free dim.
``replicas`` above 1 means that the whole tensor is repeated on that many partitions.
On chip a tensor is a buffer of shape (partitions, [chunks], remaining factors in row-major order).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import Access, Factor, FactorIndex, FactorTensor

CHUNK = "#chunk"
"""Name of the free dim that counts blocks of the outermost partition factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A factor held at one position at a time: ``offset + step * loop``."""

    factor: str
    loop: str
    offset: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Partition factors, the block of the outermost one, and replicas.

    ``free`` orders the free factors where the canonical order is not wanted. A form that lives for
    one iteration of the loops ``home`` holds one position of the ``fixed`` factors at a time.
    """

    partition: tuple[str, ...] = ()
    block: int = 0
    replicas: int = 1
    free: tuple[str, ...] = ()
    fixed: tuple[Fixed, ...] = ()
    home: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"[{'.'.join(self.home)}]" if self.home else ""
        order = f"({','.join(self.free)})" if self.free else ""
        if not self.partition:
            rows = f"replicated x{self.replicas}" if self.replicas > 1 else "row"
            return f"{rows}{order}{where}"
        return f"{'.'.join(self.partition)}/{self.block}{order}{where}"

    def at(self, home: tuple[str, ...], fixed: tuple[Fixed, ...]) -> Layout:
        """The same arrangement of a form that lives elsewhere."""
        return replace(self, home=home, fixed=fixed)

    @property
    def fixed_names(self) -> tuple[str, ...]:
        return tuple(f.factor for f in self.fixed)

    @property
    def shape(self) -> Layout:
        """The arrangement alone, wherever the form lives."""
        return self.at((), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The shape of a tensor in a layout. ``chunks`` counts blocks, the last may be partial."""

    partitions: int
    chunks: int
    remainder: int  # positions of the outermost partition factor in the last, partial chunk
    inner: int  # partitions per position of the outermost partition factor
    free: tuple[Factor, ...]

    @property
    def free_elements(self) -> int:
        return self.chunks * math.prod(f.size for f in self.free)


def geometry(tensor: FactorTensor, layout: Layout) -> Geometry:
    """Shape facts of ``tensor`` held in ``layout``."""
    free = _free_order(tensor, layout)
    if not layout.partition:
        return Geometry(partitions=layout.replicas, chunks=1, remainder=0, inner=1, free=free)
    outer = tensor.factor(layout.partition[0]).size
    inner = math.prod(tensor.factor(n).size for n in layout.partition[1:])
    return Geometry(
        partitions=layout.block * inner,
        chunks=-(-outer // layout.block),
        remainder=outer % layout.block,
        inner=inner,
        free=free,
    )


def _free_order(tensor: FactorTensor, layout: Layout) -> tuple[Factor, ...]:
    """Row-major, so that DMA rows stay long.

    Where the innermost factor lies on the partitions rows are single elements anyway, and the
    longest factor goes innermost for the engines.
    """
    if layout.free:
        held = (n for n in layout.free if n not in layout.fixed_names)
        return tuple(tensor.factor(n) for n in held)
    apart = (*layout.partition, *layout.fixed_names)
    free = [f for f in tensor.factors if f.name not in apart]
    if free and layout.partition and tensor.factors[-1].name in layout.partition:
        longest = max(free, key=lambda f: f.size)
        free.remove(longest)
        free.append(longest)
    return tuple(free)


def partition_bytes(tensor: FactorTensor, layout: Layout) -> int:
    """SBUF bytes per partition that the tensor occupies in the layout, in units of 4."""
    size = geometry(tensor, layout).free_elements * tensor.dtype.size_bytes
    return -(-size // 4) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Digits of an op on the partitions, outermost first, and the block of the outermost."""

    digits: tuple[str, ...] = ()
    block: int = 0
    partitions: int = 1


def operand_layout(tensor: FactorTensor, access: Access, run: Run) -> Layout | None:
    """The layout in which an op with ``run`` on its partitions can read or write the operand.

    None where no layout serves: only part of the run addresses the tensor, or a window does not
    start on a block.
    """
    factors = {
        i.digit: (f, i) for f, i in zip(tensor.factors, access.index, strict=True) if i.digit
    }
    found = [factors.get(d) for d in run.digits]
    fixed = fixed_factors(tensor, access)
    if not any(found):
        return Layout(replicas=run.partitions, fixed=fixed)
    if not all(found):
        return None
    pairs = [p for p in found if p is not None]
    outer_factor, outer_index = pairs[0]
    whole = all(
        i.offset == 0 and i.step == 1 and f.size == n
        for (f, i), n in zip(pairs[1:], _inner_sizes(tensor, pairs), strict=True)
    )
    if not whole or outer_index.step != 1 or outer_index.offset % run.block:
        return None
    if len(pairs) > 1 and run.partitions != run.block * math.prod(f.size for f, _ in pairs[1:]):
        return None
    block = min(run.block, outer_factor.size)
    if block != run.block:
        return None
    return Layout(partition=tuple(f.name for f, _ in pairs), block=block, fixed=fixed)


def fixed_factors(tensor: FactorTensor, access: Access) -> tuple[Fixed, ...]:
    """Factors of which the access takes one position per iteration of its op's loops."""
    if not access.index:  # the tensor as a whole
        return ()
    return tuple(
        Fixed(factor=f.name, loop=i.loop, offset=i.offset, step=i.step)
        for f, i in zip(tensor.factors, access.index, strict=True)
        if i.loop is not None
    )


def own_access(tensor: FactorTensor, fixed: Sequence[Fixed] = ()) -> Access:
    """The access whose digits are the tensor's factors, fixed ones being where their loops are."""
    at = {
        f.factor: FactorIndex(digit=None, offset=f.offset, step=f.step, loop=f.loop) for f in fixed
    }
    return Access(
        tensor=tensor.name,
        index=tuple(at.get(f.name, FactorIndex(digit=f.name)) for f in tensor.factors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionWindow:
    """How DMA reaches what an access addresses on the partitions of a form.

    ``walked`` digits are taken position by position, those of ``run`` lie on neighbouring
    partitions; ``offset`` is the position in the form of the run's outermost digit's first one.
    """

    walked: tuple[str, ...]
    run: Run
    offset: int


def partition_window(
    tensor: FactorTensor, layout: Layout, access: Access, sizes: Mapping[str, int]
) -> PartitionWindow:
    """The longest run of neighbouring partitions: whole factors, before them one window."""
    index = dict(zip((f.name for f in tensor.factors), access.index, strict=True))
    run: list[str] = []
    names = list(layout.partition)
    while names:
        at = index[names[-1]]
        if at.digit is None or at.step != 1:
            break
        run.insert(0, at.digit)
        size = tensor.factor(names.pop()).size
        if at.offset or sizes[at.digit] != size:
            break
    walked = tuple(d for n in names if (d := index[n].digit) is not None)
    if not run:
        return PartitionWindow(walked=walked, run=Run(partitions=layout.replicas), offset=0)
    outermost = not names
    block = layout.block if outermost else sizes[run[0]]
    partitions = block * math.prod(sizes[d] for d in run[1:])
    offset = index[layout.partition[0]].offset if outermost else 0
    found = Run(digits=tuple(run), block=block, partitions=partitions)
    return PartitionWindow(walked=walked, run=found, offset=offset)


def _inner_sizes(tensor: FactorTensor, pairs: list[tuple[Factor, FactorIndex]]) -> list[int]:
    return [f.size for f, _ in pairs[1:]]
