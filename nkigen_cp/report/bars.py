"""The timeline as a picture: what each lane does when, in as few bars as can be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.report.model import Bar
from nkigen_cp.report.timing import Timing
from nkigen_cp.simulate.timeline import Event
from nkigen_cp.simulate.timeline.program import LANES, LOAD

MOST_BARS = 1200
"""Bars of one picture."""

DMA_ROWS = 3
"""DMAs of one direction drawn beside each other."""

LEAP = "loop"
"""The lane of iterations that the timeline leaps over."""

_FINEST = 1600
"""Gaps of less than this part of the latency are not seen."""


def bars(timing: Timing) -> tuple[Bar, ...]:
    """The bars of all lanes, by lane and start; the finest picture of at most ``MOST_BARS``."""
    parts, found = _FINEST, _drawn(timing, timing.latency_ns / _FINEST)
    while len(found) > MOST_BARS:
        parts //= 2
        found = _drawn(timing, timing.latency_ns / parts)
    return tuple(found)


def _drawn(timing: Timing, gap_ns: float) -> list[Bar]:
    """Instructions of one step become one bar where less than ``gap_ns`` is between them.

    Of several steps that change within such a time the bar is that of the first.
    """
    lanes: dict[tuple[str, int], list[Bar]] = {}
    for bar in _bars(timing):
        row = _row(lanes, bar)
        own = lanes.setdefault((bar.lane, row), [])
        if own and _joins(own[-1], bar, gap_ns):
            last = own[-1]
            count = last.instructions + bar.instructions
            own[-1] = replace(last, end_ns=max(last.end_ns, bar.end_ns), instructions=count)
        else:
            own.append(replace(bar, row=row))
    return [bar for own in lanes.values() for bar in own]


def _joins(last: Bar, bar: Bar, gap_ns: float) -> bool:
    if bar.start_ns - last.end_ns > gap_ns or bar.lane == LEAP:
        return False
    return last.step == bar.step or max(last.end_ns, bar.end_ns) - last.start_ns <= gap_ns


def _bars(timing: Timing) -> Iterator[Bar]:
    events = zip(timing.owners, timing.estimate.events, strict=True)
    ordered: Sequence[tuple[int, Event]] = sorted(events, key=lambda e: e[1].start)
    for step, event in ordered:
        leaps = event.step is None
        yield Bar(
            lane=LEAP if event.step is None else LANES[event.step.lane],
            row=0,
            step=step,
            start_ns=round(event.start),
            end_ns=round(event.end),
            instructions=0 if leaps else 1,
            note=event.note,
        )


def _row(lanes: dict[tuple[str, int], list[Bar]], bar: Bar) -> int:
    """The first row that is idle; compute lanes have one."""
    if bar.lane not in LANES[LOAD:]:
        return 0
    rows = [lanes.get((bar.lane, k), []) for k in range(DMA_ROWS)]
    idle = [k for k, own in enumerate(rows) if not own or own[-1].end_ns <= bar.start_ns]
    same = [k for k in idle if rows[k] and rows[k][-1].step == bar.step]
    if same or idle:
        return (same or idle)[0]
    return min(range(DMA_ROWS), key=lambda k: rows[k][-1].end_ns)
