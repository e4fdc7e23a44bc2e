"""Running blocks and loops; a loop in steady state is extrapolated instead of simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nkigen_cp.simulate.timeline.machine import Machine
from nkigen_cp.simulate.timeline.program import LANES, Block, Repeated, Step, executed
from nkigen_cp.simulate.timeline.tiles import Leap

# Loops that execute no more instructions than this are simulated to the end.
SMALL = 2048
# Patterns of this many iterations are recognised, if they repeat within the tolerance.
PERIODS = (1, 2, 4)
TOLERANCE = 1e-3
# After so many iterations the mean of the last quarter serves as the period.
PATIENCE = 64


class Snapshot(NamedTuple):
    """State at the end of an iteration: ``front`` per lane, and running totals."""

    front: tuple[float, ...]
    event: int
    instructions: int
    busy: tuple[float, ...]
    rings: tuple[float, ...]


def run_block(machine: Machine, block: Block, env: Mapping[str, int]) -> None:
    """Execute a block at the given loop variables."""
    for position in range(len(block.items)):
        _run_item(machine, block, position, env)


def _run_item(machine: Machine, block: Block, position: int, env: Mapping[str, int]) -> None:
    item = block.items[position]
    if isinstance(item, Step):
        machine.execute(item, env)
    elif isinstance(item, Repeated):
        run_loop(machine, item, env)
    else:
        machine.allocate(item, env)
    if block.dying[position]:
        machine.bury(block, position, env)


def _run_turn(machine: Machine, repeated: Repeated, env: dict[str, int], first: int) -> None:
    """One turn of a loop from ``first`` on; its variable in ``env`` is that of no delay."""
    var, delays, end = repeated.loop.var, repeated.body.delays, repeated.loop.upper.value(env)
    if not delays:
        run_block(machine, repeated.body, env)
        return
    turn = env[var]
    for position, delay in enumerate(delays):
        if first <= turn - delay < end:
            env[var] = turn - delay
            _run_item(machine, repeated.body, position, env)
    env[var] = turn


def run_loop(machine: Machine, repeated: Repeated, env: Mapping[str, int]) -> None:
    """Execute a loop, leaping over iterations once they repeat."""
    loop = repeated.loop
    i, stop = loop.lower.value(env), loop.upper.value(env)
    if i >= stop:
        return
    inner = {**env, loop.var: i}
    whole = repeated.uneven or (stop - i) * executed(repeated.body, inner) <= SMALL
    history = [_snapshot(machine)]
    first, depth = i, max(repeated.body.delays, default=0)
    warm = 2 * repeated.copies + depth
    while i < stop + depth:
        inner[loop.var] = i
        _run_turn(machine, repeated, inner, first)
        i += 1
        if whole:
            continue
        history.append(_snapshot(machine))
        period = _period(history, repeated, warm)
        if period and i < stop:
            count = min((stop - 1 - i) // period, _until_crossing(history, period))
            if count > 0:
                _leap(machine, history, repeated, period, count)
                i += count * period
                history, warm = [_snapshot(machine)], 0


def _snapshot(machine: Machine) -> Snapshot:
    return Snapshot(
        front=tuple(machine.free),
        event=len(machine.events),
        instructions=machine.instructions,
        busy=tuple(machine.busy),
        rings=machine.dma.work(),
    )


def _rates(later: Snapshot, earlier: Snapshot) -> list[float]:
    return [b - a for a, b in zip(earlier.front, later.front, strict=True)]


def _period(history: list[Snapshot], repeated: Repeated, warm: int) -> int:
    """Iterations of the pattern that the last ones repeat; 0 if none is in sight."""
    done = len(history) - 1
    for period in PERIODS:
        if done < warm + 3 * period:
            continue
        spans = [_rates(history[-1 - k * period], history[-1 - (k + 1) * period]) for k in range(3)]
        if all(_close(spans[0], other) for other in spans[1:]):
            coupled = [spans[0][lane] for lane in repeated.coupled]
            if not coupled or _equal(min(coupled), max(coupled)):
                return period
    return PATIENCE // 4 if done >= PATIENCE else 0


def _close(a: list[float], b: list[float]) -> bool:
    return all(_equal(x, y) for x, y in zip(a, b, strict=True))


def _equal(x: float, y: float) -> bool:
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y), 1.0)


def _until_crossing(history: list[Snapshot], period: int) -> int:
    """Periods until a faster lane that is behind catches up with a slower one, less one."""
    front = history[-1].front
    rates = _rates(history[-1], history[-1 - period])
    moving = [lane for lane in range(len(LANES)) if rates[lane] > 0.0]
    limits = [
        int((front[b] - front[a]) / (rates[a] - rates[b])) - 1
        for a in moving
        for b in moving
        if front[a] < front[b] and rates[a] > rates[b] and not _equal(rates[a], rates[b])
    ]
    return min(limits, default=1 << 62)


def _leap(
    machine: Machine, history: list[Snapshot], repeated: Repeated, period: int, count: int
) -> None:
    last, first = history[-1], history[-1 - period]
    leap = Leap(
        var=repeated.loop.var,
        stride=period,
        periods=count,
        since=first.event,
        event=len(machine.events),
        period_ns=tuple(_rates(last, first)),
    )
    machine.instructions += count * (last.instructions - first.instructions)
    busy = [count * (b - a) for a, b in zip(first.busy, last.busy, strict=True)]
    rings = [count * (b - a) for a, b in zip(first.rings, last.rings, strict=True)]
    note = f"{count * period} more iterations of loop {repeated.loop.var}"
    machine.leap(leap, note, busy, rings)
