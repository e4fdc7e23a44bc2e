"""Orders and delays of a loop changed together, by chance, where its engines are idle for long.

A search that takes only what helps at once ends early: an item that moves helps only after others
have followed. Here changes for the worse are taken too, ever smaller ones. The chances come from a
seed, so that the same problem has the same schedule.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from nkigen_cp.schedule.rigid import SIMULATED, Rigid, Schedule

STEPS = {"fast": 0, "balanced": 1_400_000, "max": 10_000_000}
"""Starts of items that are worked out, by effort."""

ROUNDS_PER_PAIR = 400
"""Changes that are tried at most, times the number of items squared: few items have few orders."""

IDLE = 1.15
"""Loops that take less than this times the work of their busiest lane are left as they are."""

WARMTH = 0.03
"""Part of the loop's time by which a change may be for the worse at first."""

RAISED = 0.15
LOWERED = 0.3
"""Chances up to which an item gets one turn later, and then one earlier; else it moves."""

Timed = Callable[[tuple[int, ...], tuple[int, ...]], Schedule | None]
"""The schedule of an order and delays, None if there is none or SBUF has no room for it."""


def annealed(rigid: Rigid, start: Schedule, timed: Timed, effort: str) -> Schedule:
    """The best schedule met on the way, the start if there is no better one."""
    trips, count = rigid.problem.trips, len(start.order)
    if start.length_ns < IDLE * rigid.work_ns() * trips:
        return start
    rounds = STEPS[effort] // (count * min(trips, SIMULATED))
    rounds = min(rounds, ROUNDS_PER_PAIR * count**2)
    chance = random.Random(0)
    best = now = start
    for k in range(rounds):
        changed = _changed(rigid, now, chance)
        found = None if changed is None else timed(*changed)
        if found is None:
            continue
        warmth = WARMTH * start.length_ns * (1 - k / rounds) ** 2 + 1
        worse = found.length_ns - now.length_ns
        if worse <= 0 or chance.random() < math.exp(-worse / warmth):
            now = found
            best = min(best, now, key=lambda s: s.length_ns)
    return best


def _changed(
    rigid: Rigid, now: Schedule, chance: random.Random
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """One item a turn later or earlier, or elsewhere in the order; None if it cannot be there."""
    item, kind = chance.randrange(len(now.order)), chance.random()
    if kind >= LOWERED:
        order = _elsewhere(rigid, now.order, item, chance)
        return None if order is None else (order, now.delays)
    delays = list(now.delays)
    delays[item] += 1 if kind < RAISED else -1
    least = max((now.delays[p] for p, _ in rigid.before[item]), default=0)
    return None if delays[item] < least else (now.order, tuple(delays))


def _elsewhere(
    rigid: Rigid, order: tuple[int, ...], item: int, chance: random.Random
) -> tuple[int, ...] | None:
    rest = [k for k in order if k != item]
    place = {k: n for n, k in enumerate(rest)}
    low = max((place[p] + 1 for p, _ in rigid.before[item]), default=0)
    high = min((place[j] for j in rigid.after[item]), default=len(rest))
    at = chance.randint(low, high)
    found = (*rest[:at], item, *rest[at:])
    return None if found == order else found
