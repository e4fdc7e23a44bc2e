"""What the machine remembers of instructions: marks in time, events, and why something waits."""

from __future__ import annotations

import enum
from typing import NamedTuple

from nkigen_cp.simulate.timeline.program import Access, Step

NEVER = float("-inf")


class Reason(enum.Enum):
    """Why an instruction did not start earlier."""

    BEGIN = "nothing before it"
    ENGINE = "engine busy"
    DATA = "data"
    IN_USE = "overwrites what is in use"
    SPACE = "space in memory"
    COPIES = "buffer copies in use"
    ORDER = "loads before it"
    QUEUE = "DMA queues busy"
    BANDWIDTH = "DMA rings busy"
    STEADY = "steady state"


class Event(NamedTuple):
    """One execution of a step, or iterations that were extrapolated (``step`` is None).

    ``before`` is the number of the event it waited for, -1 for none.
    """

    step: Step | None
    start: float
    end: float
    reason: Reason
    before: int
    note: str = ""


class Mark(NamedTuple):
    """The end of an access: time, lane and number of the event, and the access itself."""

    time: float
    lane: int
    event: int
    access: Access


class Wait:
    """The latest of several demands on a start time, with its reason."""

    __slots__ = ("before", "reason", "time")

    def __init__(self, time: float, reason: Reason, before: int) -> None:
        self.time = time
        self.reason = reason
        self.before = before

    def until(self, time: float, reason: Reason, before: int) -> None:
        if time > self.time:
            self.time, self.reason, self.before = time, reason, before
