"""The time of an order of rigid items: lanes take them one by one, lags and rooms hold them back.

An item is as long as it is alone. The timeline overlaps more, so this is an upper estimate, cheap
enough to compare thousands of orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nkigen_cp.schedule.measure import QUEUES
from nkigen_cp.schedule.problem import Problem

SIMULATED = 16
"""Iterations of a loop that are run; behind them it goes on at the pace of the last ones."""

PACE = 4
"""Iterations over which that pace is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Items in order, their delays, copies per room, and the time of all iterations."""

    order: tuple[int, ...]
    delays: tuple[int, ...]
    copies: tuple[int, ...]
    length_ns: int


@dataclass(slots=True, eq=False)
class Rigid:
    """A problem with its items' lanes, predecessors and rooms by number."""

    problem: Problem
    lanes: list[list[tuple[int, int, int]]] = field(init=False)
    before: list[list[tuple[int, int]]] = field(init=False)
    after: list[list[int]] = field(init=False)
    opens: list[list[int]] = field(init=False)
    length: list[int] = field(init=False)
    way: list[int] = field(init=False)  # from an item's start to the end of all that follows it

    def __post_init__(self) -> None:
        count = len(self.problem.spans)
        self.lanes = [
            [
                (lane, spans[name].first_ns, spans[name].last_ns)
                for lane, name in enumerate(QUEUES)
                if name in spans
            ]
            for spans in self.problem.spans
        ]
        self.before = [[] for _ in range(count)]
        self.after = [[] for _ in range(count)]
        for e in self.problem.edges:
            self.before[e.after].append((e.before, e.lag_ns))
            self.after[e.before].append(e.after)
        self.opens = [[] for _ in range(count)]
        for k, room in enumerate(self.problem.rooms):
            self.opens[room.users[0]].append(k)
        self.length = [self.problem.length_ns(k) for k in range(count)]
        self.way = [*self.length]
        for k in reversed(range(count)):
            for p, lag in self.before[k]:
                self.way[p] = max(self.way[p], lag + self.way[k])

    def running(self) -> Running:
        """A pass at its start."""
        return Running(self)

    def unbound(self, order: Sequence[int]) -> list[int]:
        """Starts in one pass in which nothing waits for what it needs, only for its lanes."""
        free = [0] * len(QUEUES)
        start = [0] * len(order)
        for k in order:
            at = max((free[lane] - first for lane, first, _ in self.lanes[k]), default=0)
            start[k] = max(0, at)
            for lane, _, last in self.lanes[k]:
                free[lane] = start[k] + last
        return start

    def work_ns(self) -> int:
        """The work of the busiest lane in one pass."""
        busy = [0] * len(QUEUES)
        for lanes in self.lanes:
            for lane, first, last in lanes:
                busy[lane] += last - first
        return max(busy)

    def least_ns(self) -> int:
        """What no pass takes less than: items one behind the other, or the work of a lane.

        A lane starts when its first item can at the earliest, and behind its last one comes what
        has to follow that.
        """
        head, way = [0] * len(self.length), self.way
        for k, needed in enumerate(self.before):  # which comes before it in the plan
            head[k] = max((head[p] + lag for p, lag in needed), default=0)
        least = max((a + b for a, b in zip(head, way, strict=True)), default=0)
        for lane in range(len(QUEUES)):
            on = [(k, *at) for k, lanes in enumerate(self.lanes) for n, *at in lanes if n == lane]
            if on:
                first = min(head[k] + begin for k, begin, _ in on)
                rest = min(way[k] - end for k, _, end in on)
                least = max(least, first + sum(end - begin for _, begin, end in on) + rest)
        return least

    def shorter_ns(self, known: Known, order: Sequence[int], begin: int, end: int) -> int | None:
        """The time of a pass if it is less than that of a ``known`` one.

        The orders differ in the places from ``begin`` to ``end``. Behind these nothing is sooner
        than in the known pass unless something is already there.
        """
        run = self.running()
        run.start[:], run.free[:] = known.start, known.free[begin]
        for k in order[begin:end]:
            run.take(k)
            if run.start[k] + self.way[k] >= known.length_ns:
                return None
        lanes = zip(run.free, known.free[end], strict=True)
        if all(a >= b for a, b in lanes) and all(
            run.start[k] >= known.start[k] for k in order[begin:end]
        ):
            return None
        for k in order[end:]:
            run.take(k)
            if run.start[k] + self.way[k] >= known.length_ns:
                return None
        return max(s + self.length[k] for k, s in enumerate(run.start))

    def known(self, order: Sequence[int]) -> Known:
        """A pass with all that was on the way."""
        run = self.running()
        free = [list(run.free)]
        for k in order:
            run.take(k)
            free.append(list(run.free))
        length_ns = max(s + self.length[k] for k, s in enumerate(run.start))
        return Known(start=run.start, free=free, length_ns=length_ns)

    def pass_ns(self, order: Sequence[int]) -> int:
        """Until the last item of one pass has finished."""
        run = self.running()
        for k in order:
            run.take(k)
        return max(s + self.length[k] for k, s in enumerate(run.start))

    def loop_ns(self, order: Sequence[int], delays: Sequence[int], copies: Sequence[int]) -> int:
        """All iterations of a pipelined loop; ``copies`` are those of the rooms."""
        rooms = self.problem.rooms
        # The pace is that of turns in which all items run: fewer of them drain the loop faster.
        trips = min(self.problem.trips, SIMULATED + max(delays))
        free = [0] * len(QUEUES)
        starts = [[0] * trips for _ in order]
        ends = [0] * trips
        for turn in range(trips + max(delays)):
            for k in order:
                i = turn - delays[k]
                if not 0 <= i < trips:
                    continue
                at = 0
                for p, lag in self.before[k]:
                    at = max(at, starts[p][i] + lag)
                for lane, first, _ in self.lanes[k]:
                    at = max(at, free[lane] - first)
                for r in self.opens[k]:
                    old = i - copies[r]
                    if old >= 0:
                        for u in rooms[r].users:
                            at = max(at, starts[u][old] + self.length[u])
                starts[k][i] = at
                for lane, _, last in self.lanes[k]:
                    free[lane] = at + last
                ends[i] = max(ends[i], at + self.length[k])
        rest = self.problem.trips - trips
        last = SIMULATED - 1
        pace = (ends[last] - ends[last - PACE]) / PACE if rest else 0.0
        return round(ends[-1] + rest * pace)

    def peak_bytes(self, order: Sequence[int], delays: Sequence[int], copies: Sequence[int]) -> int:
        """Most SBUF bytes per partition that the level needs at once, in program order."""
        place = [0] * len(order)
        for n, k in enumerate(order):
            place[k] = n
        steps = [0] * (len(order) + 1)
        always = 0
        for room, count in zip(self.problem.rooms, copies, strict=True):
            opens = room.users[0]
            first = last = place[opens]
            for u in room.users:  # plain loops: this is called thousands of times
                if delays[u] != delays[opens]:
                    always += room.size_bytes * count
                    break
                at = place[u]
                if at < first:
                    first = at
                elif at > last:
                    last = at
            else:
                steps[first] += room.size_bytes * count
                steps[last + 1] -= room.size_bytes * count
        peak = alive = 0
        for n, k in enumerate(order):
            alive += steps[n]
            peak = max(peak, alive + self.problem.own_bytes[k])
        return always + peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A pass: when items start, when lanes are free before every place and behind the last."""

    start: list[int]
    free: list[list[int]]
    length_ns: int


class Running:
    """One pass on its way: when the items taken so far start, and when lanes are free again."""

    def __init__(self, rigid: Rigid) -> None:
        self._rigid = rigid
        self.free = [0] * len(QUEUES)
        self.start = [0] * len(rigid.length)

    def soonest(self, item: int) -> int:
        """The earliest start of an item whose producers were taken."""
        at = 0
        for p, lag in self._rigid.before[item]:
            at = max(at, self.start[p] + lag)
        for lane, first, _ in self._rigid.lanes[item]:
            at = max(at, self.free[lane] - first)
        return at

    def take(self, item: int) -> None:
        """Let an item run next."""
        at = self.start[item] = self.soonest(item)
        for lane, _, last in self._rigid.lanes[item]:
            self.free[lane] = at + last
