"""The critical path: from the last event back along what each one waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nkigen_cp.simulate.timeline.program import LANES, LOAD
from nkigen_cp.simulate.timeline.state import Event, Reason

SEGMENTS = 512
"""Most segments of a path; the middle of a longer one is a single segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Instructions on the critical path, one after the other on one engine.

    ``waited_for`` says why the first of them did not start earlier. ``engine`` is empty where
    segments or loop iterations are summed up.
    """

    label: str
    ops: tuple[str, ...]
    engine: str
    start_ns: float
    end_ns: float
    waited_for: str
    instructions: int = 1


def engine_of(event: Event) -> str:
    """The engine of an event; empty for extrapolated iterations."""
    if event.step is None:
        return ""
    return LANES[event.step.lane] if event.step.lane < LOAD else "dma"


def critical_path(events: Sequence[Event]) -> tuple[Segment, ...]:
    """Segments in order of time; the last one ends with the kernel."""
    if not events:
        return ()
    at = max(range(len(events)), key=lambda e: (events[e].end, -e))
    found: list[Segment] = []
    while at >= 0:
        segment = _segment(events[at])
        if found and _joins(segment, found[-1]):
            later = found.pop()
            segment = replace(segment, end_ns=later.end_ns, instructions=1 + later.instructions)
        found.append(segment)
        at = events[at].before
    return _bounded(found[::-1])


def _segment(event: Event) -> Segment:
    step = event.step
    return Segment(
        label=step.instruction.label if step else event.note,
        ops=step.instruction.ops if step else (),
        engine=engine_of(event),
        start_ns=event.start,
        end_ns=event.end,
        waited_for=event.reason.value,
    )


def _joins(segment: Segment, later: Segment) -> bool:
    same = (segment.label, segment.engine) == (later.label, later.engine)
    return same and later.waited_for == Reason.ENGINE.value


def _bounded(path: list[Segment]) -> tuple[Segment, ...]:
    if len(path) <= SEGMENTS:
        return tuple(path)
    half = SEGMENTS // 2
    middle = path[half : len(path) - half + 1]
    joined = Segment(
        label=f"{len(middle)} segments",
        ops=(),
        engine="",
        start_ns=middle[0].start_ns,
        end_ns=middle[-1].end_ns,
        waited_for=middle[0].waited_for,
        instructions=sum(s.instructions for s in middle),
    )
    return (*path[:half], joined, *path[len(path) - half + 1 :])
