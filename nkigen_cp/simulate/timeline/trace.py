"""Chrome and Perfetto traces of a timeline."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nkigen_cp.errors import ArgumentError
from nkigen_cp.simulate.timeline.path import engine_of
from nkigen_cp.simulate.timeline.state import Event

TRACE_EVENTS = 200_000
"""Most events of a trace; of more, the middle is left out."""

_ROWS = ("tensor", "vector", "scalar", "gpsimd", "steady state")
_DMA_ROWS = 16


def trace_records(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """One complete event per instruction; times in microseconds, one row per engine.

    DMAs overlap, so each takes the first of 16 rows that is idle.
    """
    names = (*_ROWS, *(f"dma {k}" for k in range(_DMA_ROWS)))
    for row, name in enumerate(names):
        yield {"name": "thread_name", "ph": "M", "pid": 0, "tid": row, "args": {"name": name}}
    idle = [0.0] * _DMA_ROWS
    for event in _kept(events):
        engine = engine_of(event)
        row = _ROWS.index(engine or "steady state") if engine != "dma" else _idle_row(idle, event)
        step = event.step
        yield {
            "name": step.instruction.kind if step else event.note,
            "ph": "X",
            "pid": 0,
            "tid": row,
            "ts": round(event.start / 1e3, 4),
            "dur": round((event.end - event.start) / 1e3, 4),
            "args": {
                "ops": list(step.instruction.ops) if step else [],
                "note": step.instruction.note if step else "",
                "waited for": event.reason.value,
            },
        }


def write_trace(path: str | os.PathLike[str], events: Sequence[Event]) -> None:
    """Write the trace through a temporary file, so that nothing is ever half there.

    Raises:
        ArgumentError: the folder does not exist or cannot be written to.
    """
    goal = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.")
    except OSError as error:
        raise ArgumentError(f"trace {goal} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write('{"traceEvents":[\n')
            for k, record in enumerate(trace_records(events)):
                file.write((",\n" if k else "") + json.dumps(record, separators=(",", ":")))
            file.write('\n],"displayTimeUnit":"ns"}\n')
        Path(temporary).replace(goal)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise ArgumentError(f"trace {goal} cannot be written: {error.strerror}") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _kept(events: Sequence[Event]) -> Iterator[Event]:
    half = TRACE_EVENTS // 2
    if len(events) <= TRACE_EVENTS:
        yield from events
    else:
        yield from events[:half]
        yield from events[len(events) - half :]


def _idle_row(idle: list[float], event: Event) -> int:
    row = next((k for k, time in enumerate(idle) if time <= event.start), idle.index(min(idle)))
    idle[row] = max(idle[row], event.end)
    return len(_ROWS) + row
