"""Tiles: one generation of a buffer with the accesses that later ones must wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nkigen_cp.ir.nki.kernel import Buffer
from nkigen_cp.simulate.timeline.program import Access
from nkigen_cp.simulate.timeline.ramps import Level, Ramp
from nkigen_cp.simulate.timeline.regions import Geometry, Region, covers
from nkigen_cp.simulate.timeline.state import Mark, Reason, Wait


class Leap(NamedTuple):
    """``periods`` of ``stride`` iterations of loop ``var`` that are not simulated.

    ``since`` is the first event of the last period simulated, ``event`` the leap's own;
    ``period_ns`` is per lane.
    """

    var: str
    stride: int
    periods: int
    since: int
    event: int
    period_ns: tuple[float, ...]

    def moved(self, mark: Mark) -> Mark:
        """The mark one leap later, if the last period made it."""
        if mark.event < self.since:
            return mark
        time = mark.time + self.periods * self.period_ns[mark.lane]
        return mark._replace(time=time, event=self.event)


RampKey = tuple[int, Region, tuple[tuple[tuple[int, ...], int], ...]]


@dataclass(slots=True, eq=False)
class Tile:
    """One generation; ``amount`` is its memory: SBUF bytes per partition or PSUM banks."""

    buffer: Buffer
    geometry: Geometry
    amount: int = 0
    placed: bool = False
    writes: dict[int, Mark] = field(default_factory=dict[int, Mark])
    reads: dict[int, dict[int, Mark]] = field(default_factory=dict[int, dict[int, Mark]])
    ramps: dict[RampKey, Ramp] = field(default_factory=dict[RampKey, Ramp])
    ends: dict[int, Mark] = field(default_factory=dict[int, Mark])

    def await_turn(self, access: Access, place: int, delays: Sequence[float], wait: Wait) -> None:
        """Wait for the writes, and before a write also the reads, that the access meets.

        ``delays`` are those of the consumer's lane, indexed by the producer's.
        """
        table = self.geometry.written if access.writes else self.geometry.read
        reason = Reason.IN_USE if access.writes else Reason.DATA
        for w in table.writes[place]:
            mark = self.writes.get(w)
            if mark is not None and mark.time + delays[mark.lane] > wait.time:
                wait.until(mark.time + delays[mark.lane], reason, mark.event)
        if access.writes:
            for r in table.reads[place]:
                for mark in self.reads.get(r, _NONE).values():
                    wait.until(mark.time + delays[mark.lane], reason, mark.event)
        for ramp in self.ramps.values():
            mark = ramp.mark
            if access.writes or mark.access.writes:
                end = ramp.latest(table.regions[place])
                if end is not None:
                    wait.until(end + delays[mark.lane], reason, mark.event)

    def note(self, place: int, mark: Mark) -> None:
        """Remember an access; a write makes those it covers irrelevant."""
        self.ends[mark.lane] = mark
        if not mark.access.writes:
            lanes = self.reads.get(place)
            if lanes is None:
                lanes = self.reads[place] = {}
            lanes[mark.lane] = mark
            return
        table = self.geometry.written
        for w in table.covered_writes[place]:
            self.writes.pop(w, None)
        for r in table.covered_reads[place]:
            self.reads.pop(r, None)
        if self.ramps and covers(table.regions[place], _whole(self.buffer)):
            self.ramps.clear()
        self.writes[place] = mark

    def leap(self, leap: Leap) -> None:
        """Account for iterations that are not simulated."""
        for key, ramp in list(self.ramps.items()):
            if ramp.mark.event >= leap.since:
                del self.ramps[key]
                self._extend(ramp, leap)
        for place, mark in self.writes.items():
            self.writes[place] = self._advance(self.geometry.written.regions[place], mark, leap)
        for place, lanes in self.reads.items():
            for lane, mark in lanes.items():
                lanes[lane] = self._advance(self.geometry.read.regions[place], mark, leap)
        self.ends = {lane: leap.moved(mark) for lane, mark in self.ends.items()}

    def _advance(self, region: Region, mark: Mark, leap: Leap) -> Mark:
        if mark.event < leap.since:
            return mark
        if not any(mark.access.shift(leap.var, leap.stride)):
            return leap.moved(mark)
        self._extend(Ramp(region, mark, ()), leap)
        return mark

    def _extend(self, ramp: Ramp, leap: Leap) -> None:
        shift = ramp.mark.access.shift(leap.var, leap.stride)
        mark, levels = leap.moved(ramp.mark), ramp.levels
        if any(shift):
            mark = ramp.mark._replace(event=leap.event)
            levels = (*levels, Level(shift, leap.periods, leap.period_ns[mark.lane]))
        key = (id(mark.access), ramp.region, tuple((v.shift, v.periods) for v in levels))
        self.ramps[key] = Ramp(ramp.region, mark, levels)


_NONE: Mapping[int, Mark] = {}


def _whole(buffer: Buffer) -> Region:
    spans = tuple((n - 1, 1) if n > 1 else (0, 0) for n in buffer.shape)
    return (buffer.shape, (0,) * len(buffer.shape), spans)
