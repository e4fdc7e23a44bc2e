"""Which accesses to a buffer meet: boxes of positions, compared dim by dim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd

from nkigen_cp.ir.nki.views import row_major
from nkigen_cp.simulate.timeline.program import Access

Region = tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]
"""(indexed shape, first position per dim, (extent, step) per dim)"""


def meet(a: Region, b: Region) -> bool:
    """Whether two regions of a buffer share a position.

    Exact for views of one shape up to the greatest common step; different reshapes of an HBM
    buffer are compared by their linear extents.
    """
    if a[0] != b[0]:
        (first, last), (start, stop) = _extent(a), _extent(b)
        return first <= stop and start <= last
    for low, span, other, reach in zip(a[1], a[2], b[1], b[2], strict=True):
        if low > other + reach[0] or other > low + span[0]:
            return False
        step = gcd(span[1], reach[1])
        if step > 1 and (other - low) % step:
            return False
    return True


def covers(a: Region, b: Region) -> bool:
    """Whether ``a`` certainly holds all of ``b``."""
    return a[0] == b[0] and all(
        low <= other and other + reach[0] <= low + span[0] and (span[1] <= 1 or span == reach)
        for low, span, other, reach in zip(a[1], a[2], b[1], b[2], strict=True)
    )


def _extent(region: Region) -> tuple[int, int]:
    strides = row_major(region[0])
    first = sum(s * low for s, low in zip(strides, region[1], strict=True))
    return first, first + sum(s * span[0] for s, span in zip(strides, region[2], strict=True))


@dataclass(slots=True, eq=False)
class Places:
    """The regions of one kind of access, numbered; for each the writes and reads it meets."""

    ids: dict[Region, int] = field(default_factory=dict[Region, int])
    regions: list[Region] = field(default_factory=list[Region])
    writes: list[list[int]] = field(default_factory=list[list[int]])
    reads: list[list[int]] = field(default_factory=list[list[int]])
    covered_writes: list[list[int]] = field(default_factory=list[list[int]])
    covered_reads: list[list[int]] = field(default_factory=list[list[int]])


@dataclass(slots=True, eq=False)
class Geometry:
    """All regions ever used of a buffer; shared by the buffer's generations."""

    read: Places = field(default_factory=Places)
    written: Places = field(default_factory=Places)

    def place(self, access: Access, env: Mapping[str, int]) -> int:
        """Number of the region among the reads or the writes."""
        region = (access.shape, access.lows(env), access.spans)
        table = self.written if access.writes else self.read
        known = table.ids.get(region)
        if known is not None:
            return known
        return self._new_write(region) if access.writes else self._new_read(region)

    def _new_read(self, region: Region) -> int:
        read, written = self.read, self.written
        number = read.ids[region] = len(read.regions)
        read.regions.append(region)
        read.writes.append([w for w, other in enumerate(written.regions) if meet(region, other)])
        for w in read.writes[number]:
            written.reads[w].append(number)
            if covers(written.regions[w], region):
                written.covered_reads[w].append(number)
        return number

    def _new_write(self, region: Region) -> int:
        read, written = self.read, self.written
        number = written.ids[region] = len(written.regions)
        written.regions.append(region)
        met = [w for w, other in enumerate(written.regions) if meet(region, other)]
        written.writes.append(met)
        written.covered_writes.append([w for w in met if covers(region, written.regions[w])])
        for w in met[:-1]:
            written.writes[w].append(number)
            if covers(written.regions[w], region):
                written.covered_writes[w].append(number)
        reads = [r for r, other in enumerate(read.regions) if meet(region, other)]
        written.reads.append(reads)
        written.covered_reads.append([r for r in reads if covers(region, read.regions[r])])
        for r in reads:
            read.writes[r].append(number)
        return number
