"""Where the ranks of one run exchange what they hold."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.collectives import Groups, group_of
from nkigen_cp.ir.nki.collective_rules import ranks_of
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.numeric import Array


class Meeting:
    """All ranks of a run. Each executes the same collectives, so all of them meet at every one."""

    def __init__(self, count: int) -> None:
        self.held: list[Array | None] = [None] * count
        self.barrier = threading.Barrier(count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seat:
    """One rank's place in a meeting."""

    meeting: Meeting
    rank: int

    def exchange(self, groups: Groups, value: Array) -> tuple[list[Array], int]:
        """What the ranks of this one's group hold, and its place among them."""
        meeting, group = self.meeting, group_of(groups, self.rank)
        meeting.held[self.rank] = value.copy()
        meeting.barrier.wait()
        found = [held for rank in group if (held := meeting.held[rank]) is not None]
        meeting.barrier.wait()  # nobody brings the next value before all have these
        return found, group.index(self.rank)

    def check(self, kernel: Kernel) -> None:
        """The kernel runs on as many ranks as meet.

        Raises:
            ArgumentError: it does not.
        """
        wanted, count = ranks_of(kernel), len(self.meeting.held)
        if wanted not in (None, count):
            raise ArgumentError(
                f"kernel {kernel.name!r} has collectives over {wanted} ranks, got the arguments of "
                f"{count}; use simulate_ranks(kernel, [arguments of rank 0, arguments of rank 1, "
                "...])"
            )


def alone() -> Seat:
    """The place of the only rank."""
    return Seat(meeting=Meeting(1), rank=0)
