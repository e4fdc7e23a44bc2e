"""Accesses of extrapolated iterations: regions and end times that advance at a steady rate."""

from __future__ import annotations

from typing import NamedTuple

from nkigen_cp.simulate.timeline.regions import Region
from nkigen_cp.simulate.timeline.state import Mark


class Level(NamedTuple):
    """``periods`` of a loop; each moves the region by ``shift`` per dim and takes ``period_ns``."""

    shift: tuple[int, ...]
    periods: int
    period_ns: float


class Ramp(NamedTuple):
    """The accesses behind ``mark``: one level per loop that was extrapolated, the inner first."""

    region: Region
    mark: Mark
    levels: tuple[Level, ...]

    def latest(self, other: Region) -> float | None:
        """End of the last of these accesses that may meet ``other``; None if none does.

        Never too early; exact for one level of views of one shape and step 1.
        """
        first = [0] * len(self.levels)
        last = [level.periods for level in self.levels]
        if other[0] == self.region[0]:
            for dim, (low, span) in enumerate(zip(self.region[1], self.region[2], strict=True)):
                least = other[1][dim] - low - span[0]
                most = other[1][dim] + other[2][dim][0] - low
                if not self._limit(dim, (least, most), first, last):
                    return None
        times = zip(last, self.levels, strict=True)
        return self.mark.time + sum(n * level.period_ns for n, level in times)

    def _limit(self, dim: int, wanted: tuple[int, int], first: list[int], last: list[int]) -> bool:
        """Narrow the periods to those whose moves along ``dim`` can sum to the wanted range."""
        moves = [level.shift[dim] * level.periods for level in self.levels]
        low, high = sum(min(0, m) for m in moves), sum(max(0, m) for m in moves)
        if wanted[1] < low or wanted[0] > high:
            return False
        for k, level in enumerate(self.levels):
            step = level.shift[dim]
            if not step:
                continue
            # What this level must contribute at least and at most, the others doing what they can.
            least = wanted[0] - (high - max(0, moves[k]))
            most = wanted[1] - (low - min(0, moves[k]))
            near, far = (least, most) if step > 0 else (-most, -least)
            first[k] = max(first[k], -(-near // abs(step)))
            last[k] = min(last[k], far // abs(step))
            if first[k] > last[k]:
                return False
        return True
