"""Orders from list schedules that keep to the SBUF there is, and from draws around them.

Of the items that are ready, and whose tiles have room, the next is one that can start soon and has
a long way to the end. How much the way counts, and how much room is left for what was begun before
anything new begins, is tried out; then the ways of single items are changed by chance, and what
makes a pass shorter is kept. The chances come from a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.schedule.problem import Problem
from nkigen_cp.schedule.rigid import Rigid

URGENCY = (0.0, 0.03, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0)
"""What an item's way to the end counts against the time it has to wait."""

RESERVE = (0.0, 0.5, 1.0, 1.5)
"""Room that is left when something new begins, in sizes of the largest tile."""

SMALL_SHARE = 32
"""Tiles of one in so many parts of the largest begin nothing new."""

STARTS = {"fast": 0, "balanced": 80_000, "max": 800_000}
"""Items placed in draws, by effort."""

DRAWS_PER_ITEM = 8
"""Draws at most, times the number of items: few items have few orders."""

IDLE = 1.05
"""An order that takes less than this times the work of its busiest lane is left as it is."""

CHANGED = 3
"""Items whose way is changed in a draw."""

FACTORS = (0.2, 2.5)
"""Between these their ways are multiplied."""


def listed(problem: Problem, effort: str) -> Iterator[tuple[int, ...]]:
    """The order of the best list schedule, and the best of the draws around it."""
    lister = Lister(Rigid(problem))
    plain = [1.0] * len(problem.spans)
    tried = [
        (lister.rigid.pass_ns(order), k, urgency, room, order)
        for k, (urgency, room) in enumerate(lister.choices())
        if (order := lister.order(urgency, room, plain)) is not None
    ]
    if tried:
        time_ns, _, urgency, room, order = min(tried)
        yield order
        yield _drawn(lister, order, time_ns, (urgency or URGENCY[1], room), effort)


def loads_ahead(problem: Problem) -> Problem:
    """A loop's problem without the time of its loads: they may come a turn before all else."""
    loads = loads_of(problem)
    return replace(
        problem,
        spans=tuple({} if k in loads else s for k, s in enumerate(problem.spans)),
        edges=tuple(replace(e, lag_ns=0) if e.before in loads else e for e in problem.edges),
    )


def loads_of(problem: Problem) -> list[int]:
    """Items that do nothing but load, and need nothing from others."""
    needing = [e.after for e in problem.edges]
    return [k for k, s in enumerate(problem.spans) if list(s) == ["load"] and k not in needing]


def _drawn(
    lister: Lister, best: tuple[int, ...], best_ns: int, weighed: tuple[float, int], effort: str
) -> tuple[int, ...]:
    count = len(best)
    chance, kept = random.Random(0), [1.0] * count
    idle = best_ns > IDLE * lister.rigid.work_ns()
    for _ in range(min(STARTS[effort] // count, DRAWS_PER_ITEM * count) if idle else 0):
        weights = list(kept)
        for _ in range(CHANGED):
            weights[chance.randrange(count)] = chance.uniform(*FACTORS)
        order = lister.order(*weighed, weights)
        if order is not None and (time_ns := lister.rigid.pass_ns(order)) <= best_ns:
            best, best_ns, kept = order, time_ns, weights
    return best


@dataclass(slots=True, eq=False)
class Lister:
    """What list schedules of a problem need to know of its items and rooms."""

    rigid: Rigid
    ways: list[int] = field(init=False)
    rooms: list[list[int]] = field(init=False)
    opened: list[int] = field(init=False)
    largest: int = field(init=False)

    def __post_init__(self) -> None:
        problem = self.rigid.problem
        self.ways = ways(self.rigid)
        self.rooms = [[] for _ in problem.spans]
        self.opened = list(problem.own_bytes)
        for number, room in enumerate(problem.rooms):
            self.opened[room.users[0]] += room.size_bytes
            for user in room.users:
                self.rooms[user].append(number)
        self.largest = max((r.size_bytes for r in problem.rooms), default=0)

    def choices(self) -> Iterator[tuple[float, int]]:
        """What the way counts, and bytes that are left when something new begins."""
        for urgency in URGENCY:
            yield from ((urgency, int(share * self.largest)) for share in RESERVE)

    def order(
        self, urgency: float, reserve: int, weights: Sequence[float]
    ) -> tuple[int, ...] | None:
        """A list schedule; None if it comes to where nothing that is ready has room."""
        rigid, rooms = self.rigid, self.rigid.problem.rooms
        waiting = [len({p for p, _ in before}) for before in rigid.before]
        left = [len(room.users) for room in rooms]
        ready = [k for k, n in enumerate(waiting) if not n]
        order: list[int] = []
        run, free = rigid.running(), rigid.problem.capacity_bytes
        while ready:
            fits = [k for k in ready if self._needed(k, left, reserve) <= free]
            if not fits:
                return None
            _, k = min((run.soonest(j) - urgency * weights[j] * self.ways[j], j) for j in fits)
            ready.remove(k)
            run.take(k)
            order.append(k)
            free += rigid.problem.own_bytes[k] - self.opened[k]
            for r in self.rooms[k]:
                left[r] -= 1
                free += 0 if left[r] else rooms[r].size_bytes
            for j in dict.fromkeys(rigid.after[k]):
                waiting[j] -= 1
                if not waiting[j]:
                    ready.append(j)
        return tuple(order)

    def _needed(self, item: int, left: Sequence[int], reserve: int) -> int:
        """Bytes that must be free for the item: those it takes, more if it begins a chain."""
        needed = self.opened[item]
        if needed * SMALL_SHARE <= self.largest:
            return needed
        for r in self.rooms[item]:
            room = self.rigid.problem.rooms[r]
            begun = left[r] < len(room.users)
            if begun and room.size_bytes * SMALL_SHARE > self.largest:
                return needed
        return needed + reserve


def ways(rigid: Rigid) -> list[int]:
    """From the start of every item to the end of all that has to follow it."""
    way = [0] * len(rigid.length)
    for k in reversed(range(len(way))):
        lags = [e.lag_ns + way[e.after] for e in rigid.problem.edges if e.before == k]
        way[k] = max([rigid.length[k], *lags])
    return way
