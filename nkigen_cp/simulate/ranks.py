"""Running one kernel on several ranks: each in a thread, all meeting at every collective."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.simulate.run import Run, run
from nkigen_cp.simulate.seat import Meeting, Seat
from nkigen_cp.targets.target import Target


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """One rank's run; ``error`` is what ended it."""

    kernel: Kernel
    arrays: Sequence[Any]
    target: Target
    seat: Seat
    done: Run | None = None
    error: Exception | None = None

    def __call__(self) -> None:
        try:
            self.done = run(self.kernel, self.arrays, self.target, seat=self.seat)
        except Exception as error:  # the others would wait for this rank for ever
            self.error = error
            self.seat.meeting.barrier.abort()


def run_ranks(kernel: Kernel, arrays: Sequence[Sequence[Any]], target: Target) -> tuple[Run, ...]:
    """Execute ``kernel`` on as many ranks as there are lists of arrays.

    Raises:
        ArgumentError: the kernel's collectives are over another number of ranks.
        SimulationError: as ``run``; of several ranks that fail, what the first one says.
    """
    meeting = Meeting(len(arrays))
    jobs = [
        _Job(kernel=kernel, arrays=given, target=target, seat=Seat(meeting=meeting, rank=rank))
        for rank, given in enumerate(arrays)
    ]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [job.error for job in jobs if job.error is not None]
    for error in errors:
        # Ranks that only waited for another one have nothing to say.
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return tuple(job.done for job in jobs if job.done is not None)
