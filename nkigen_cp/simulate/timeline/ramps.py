"""Accesses of extrapolated iterations: regions and end times that advance at a steady rate."""

from __future__ import annotations

from typing import NamedTuple

from nkigen_cp.simulate.timeline.regions import Region
from nkigen_cp.simulate.timeline.state import Mark


class Level(NamedTuple):
    """``count`` periods; each moves the region by ``shift`` per dim and takes ``period_ns``."""

    shift: tuple[int, ...]
    count: int
    period_ns: float


class Ramp(NamedTuple):
    """The accesses behind ``mark``: one level per loop that was extrapolated, the inner first."""

    region: Region
    mark: Mark
    levels: tuple[Level, ...]

    def latest(self, other: Region) -> float | None:
        """End of the last of these accesses that may meet ``other``; None if none does."""
        reached = [level.count for level in self.levels]
        if other[0] == self.region[0]:
            for dim, (low, span) in enumerate(zip(self.region[1], self.region[2], strict=True)):
                least = other[1][dim] - low - span[0]
                most = other[1][dim] + other[2][dim][0] - low
                if not self._limit(dim, least, most, reached):
                    return None
        periods = zip(reached, self.levels, strict=True)
        return self.mark.time + sum(n * level.period_ns for n, level in periods)

    def _limit(self, dim: int, least: int, most: int, reached: list[int]) -> bool:
        """Lower ``reached`` to periods whose moves along ``dim`` sum to least..most."""
        moves = [level.shift[dim] * level.count for level in self.levels]
        low, high = sum(min(0, m) for m in moves), sum(max(0, m) for m in moves)
        if most < low or least > high:
            return False
        for k, level in enumerate(self.levels):
            step = level.shift[dim]
            if step > 0:
                reached[k] = min(reached[k], (most - (low - min(0, moves[k]))) // step)
            elif step < 0:
                reached[k] = min(reached[k], (high - max(0, moves[k]) - least) // -step)
        return True
