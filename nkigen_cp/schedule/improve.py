"""Local search for orders and delays, deterministic: each round takes the best of its moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.schedule.anneal import annealed
from nkigen_cp.schedule.listed import listed, loads_ahead, loads_of, ways
from nkigen_cp.schedule.problem import Problem
from nkigen_cp.schedule.rigid import SIMULATED, Rigid, Schedule

ROUNDS = {"fast": 12, "balanced": 40, "max": 200}
"""Rounds of moves, by effort."""

STARTS = 1_000_000
"""Starts of items that are worked out at most for one order: many items have fewer rounds."""

MOST_DELAY = 7
"""Turns by which an item may follow the first one."""

URGENCY = (0.25, 1.0)
"""What an item's way to the end counts in a list schedule, against the time it has to wait."""

PERIODS = (100, 115, 135, 160, 200)
"""Periods for which delays are made, in percent of the work of the busiest lane."""

SPARE = (2, 1, 0)
"""Copies of a tile beyond those that are alive in program order; the first that has room."""


def reordered(problem: Problem, effort: str) -> Schedule | None:
    """One pass: from several orders, items moved while that helps.

    None if no order seems to fit; a level's need of SBUF is taken for a little more than it is.
    """
    rigid = Rigid(problem)
    least = rigid.least_ns()
    listing = (_one_pass(rigid, order) for order in listed(problem, "fast"))
    found: list[Schedule] = []
    for schedule in itertools.chain(_passes(rigid, effort), listing):
        if schedule is not None:
            found.append(schedule)
            if schedule.length_ns <= least:
                break
    return min(found, key=lambda s: s.length_ns, default=None)


def _passes(rigid: Rigid, effort: str) -> Iterator[Schedule]:
    """Orders of one pass that fit: the given one, and what list schedules become."""
    given = tuple(range(len(rigid.length)))
    orders = dict.fromkeys((given, *(_by_list(rigid, u) for u in URGENCY)))
    for order in orders:
        begun = _one_pass(rigid, order)
        if begun is not None:
            yield _moved(rigid, begun, ROUNDS[effort])


def _one_pass(rigid: Rigid, order: tuple[int, ...]) -> Schedule | None:
    """An order without delays and with single tiles, None if SBUF has no room for it."""
    none, ones = (0,) * len(order), (1,) * len(rigid.problem.rooms)
    if rigid.peak_bytes(order, none, ones) > rigid.problem.capacity_bytes:
        return None
    return Schedule(order=order, delays=none, copies=ones, length_ns=rigid.pass_ns(order))


def pipelined(problem: Problem, effort: str) -> Schedule | None:
    """A loop: delays raised while that helps and SBUF has room, from several orders; or None."""
    rigid = Rigid(problem)
    given = tuple(range(len(problem.spans)))
    passes = (s.order for s in _passes(rigid, effort))
    orders = dict.fromkeys((given, *passes, *listed(loads_ahead(problem), effort)))
    found = [s for order in orders if (s := _overlapped(rigid, order, effort)) is not None]
    best = min(found, key=lambda s: s.length_ns, default=None)
    if best is None:
        return None

    def timed(order: tuple[int, ...], delays: tuple[int, ...]) -> Schedule | None:
        allowed = list(delays)
        _settle(rigid, allowed)
        least = min(allowed)
        if max(allowed) - least > MOST_DELAY:
            return None
        return _timed(rigid, order, tuple(d - least for d in allowed))

    return annealed(rigid, best, timed, effort)


def _overlapped(rigid: Rigid, order: tuple[int, ...], effort: str) -> Schedule | None:
    delays = dict.fromkeys(((0,) * len(order), _ahead(rigid), *_spaced(rigid, order)))
    begun = [_timed(rigid, order, d) for d in delays]
    best = min((s for s in begun if s is not None), key=lambda s: s.length_ns, default=None)
    if best is None:
        return None
    starts = len(order) ** 2 * min(rigid.problem.trips, SIMULATED)
    for _ in range(min(ROUNDS[effort], 1 + STARTS // starts)):
        moves = (_timed(rigid, best.order, d) for d in _raised(rigid, best.delays))
        better = min((m for m in moves if m is not None), key=lambda s: s.length_ns, default=best)
        if better.length_ns >= best.length_ns:
            break
        best = better
    for delays in _lowered(rigid, best):
        found = _timed(rigid, best.order, delays)
        best = found if found is not None and found.length_ns <= best.length_ns else best
    return best


def _ahead(rigid: Rigid) -> tuple[int, ...]:
    """Loads one turn before all else."""
    loads = loads_of(rigid.problem)
    delays = [0 if k in loads else 1 for k in range(len(rigid.length))]
    _settle(rigid, delays)
    return tuple(d - min(delays) for d in delays)


def _spaced(rigid: Rigid, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Delays with which, at some period, every item finds what it needs at its place in a turn.

    Those places are where the lanes alone would let the items of one turn begin.
    """
    places = rigid.unbound(order)
    least = max(rigid.work_ns(), 1)
    for percent in PERIODS:
        period = least * percent // 100
        delays = [0] * len(order)
        for k in order:
            for p, lag in rigid.before[k]:
                late = delays[p] * period + places[p] + lag - places[k]
                delays[k] = max(delays[k], delays[p], -(-late // period))
        _settle(rigid, delays)
        if max(delays) <= MOST_DELAY:
            yield tuple(delays)


def _timed(rigid: Rigid, order: tuple[int, ...], delays: tuple[int, ...]) -> Schedule | None:
    """The loop with as many copies as there is room for; None if there is none for those needed."""
    problem = rigid.problem
    needed = [
        max(delays[u] for u in room.users) - delays[room.users[0]] + 1 for room in problem.rooms
    ]
    if rigid.peak_bytes(order, delays, needed) > problem.capacity_bytes:
        return None
    for spare in SPARE:
        copies = tuple(n + spare for n in needed)
        if not spare or rigid.peak_bytes(order, delays, copies) <= problem.capacity_bytes:
            time_ns = rigid.loop_ns(order, delays, copies)
            return Schedule(order=order, delays=delays, copies=copies, length_ns=time_ns)
    return None


def _raised(rigid: Rigid, delays: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every item with all that must not come before it, one turn later."""
    seen: dict[tuple[int, ...], None] = {}
    for k in range(len(delays)):
        changed = list(delays)
        changed[k] += 1
        _settle(rigid, changed)
        if max(changed) - min(changed) <= MOST_DELAY and min(changed) == 0:
            seen[tuple(changed)] = None
    yield from seen


def _settle(rigid: Rigid, delays: list[int]) -> None:
    """Raise what depends on raised items, until all delays are allowed."""
    changed = True
    while changed:
        changed = False
        for k, later in enumerate(rigid.after):
            for j in later:
                if delays[j] < delays[k]:
                    delays[j], changed = delays[k], True
        for group in rigid.problem.together:
            most = max(delays[j] for j in group)
            for j in group:
                if delays[j] < most:
                    delays[j], changed = most, True


def _lowered(rigid: Rigid, best: Schedule) -> Iterator[tuple[int, ...]]:
    """Smaller delays for single items, where allowed: fewer copies for the same time."""
    for k in best.order:
        tied = any(k in group for group in rigid.problem.together)
        least = max((best.delays[p] for p, _ in rigid.before[k]), default=0)
        if best.delays[k] > least and not tied:
            yield tuple(least if j == k else d for j, d in enumerate(best.delays))


def _by_list(rigid: Rigid, urgency: float) -> tuple[int, ...]:
    """Of the items that are ready, first one that can start soon and has a long way to the end."""
    way = ways(rigid)
    waiting = [len({p for p, _ in before}) for before in rigid.before]
    ready = [k for k, n in enumerate(waiting) if not n]
    order: list[int] = []
    run = rigid.running()
    while ready:
        k = min(ready, key=lambda j: (run.soonest(j) - urgency * way[j], j))
        ready.remove(k)
        run.take(k)
        order.append(k)
        for j in dict.fromkeys(rigid.after[k]):
            waiting[j] -= 1
            if not waiting[j]:
                ready.append(j)
    return tuple(order)


def _moved(rigid: Rigid, best: Schedule, rounds: int) -> Schedule:
    """Items put elsewhere between what they need and what needs them, while that helps."""
    left, least, known = STARTS, rigid.least_ns(), rigid.known(best.order)
    for _ in range(rounds):
        start = best.length_ns
        for item in best.order if left > 0 else ():
            at = best.order.index(item)
            for to, order in _elsewhere(rigid, best.order, item):
                if best.length_ns <= least:
                    return best
                left -= len(order)
                time_ns = rigid.shorter_ns(known, order, min(at, to), max(at, to) + 1)
                if time_ns is not None and _fits(rigid, order, best):
                    best = replace(best, order=order, length_ns=time_ns)
                    at, known = to, rigid.known(order)
        if best.length_ns == start:
            break
    return best


def _fits(rigid: Rigid, order: tuple[int, ...], like: Schedule) -> bool:
    peak_bytes = rigid.peak_bytes(order, like.delays, like.copies)
    return peak_bytes <= rigid.problem.capacity_bytes


def _elsewhere(
    rigid: Rigid, order: Sequence[int], item: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Other places of an item, and the orders with it there."""
    rest = [k for k in order if k != item]
    place = {k: n for n, k in enumerate(rest)}
    low = max((place[p] + 1 for p, _ in rigid.before[item]), default=0)
    high = min((place[j] for j in rigid.after[item]), default=len(rest))
    for n in range(low, high + 1):
        moved = (*rest[:n], item, *rest[n:])
        if moved != tuple(order):
            yield n, moved
