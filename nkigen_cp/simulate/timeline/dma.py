"""The DMA rings and queues. Later transfers may use any time that earlier ones leave free."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple

from nkigen_cp.targets.target import DmaFacts

# Free gaps remembered per ring; transfers hardly ever start before the oldest of them.
_GAPS = 64
_FOREVER = float("inf")


class Ring:
    """One ring's free time, as gaps in order; the last one never ends."""

    def __init__(self, like: Ring | None = None) -> None:
        self.starts: list[float] = [*like.starts] if like else [0.0]
        self.ends: list[float] = [*like.ends] if like else [_FOREVER]
        self.busy_ns: float = like.busy_ns if like else 0.0

    def fill(self, ready: float, work: float) -> tuple[float, float]:
        """Use the first ``work`` ns that are free from ``ready`` on; returns (begin, end)."""
        self.busy_ns += work
        k = j = bisect_right(self.ends, ready)
        begin = end = max(self.starts[k], ready)
        left = work
        while True:
            end = max(self.starts[j], ready)
            if self.ends[j] - end > left:
                end += left
                break
            left -= self.ends[j] - end
            j += 1
        starts, ends = [end], [self.ends[j]]
        if self.starts[k] < ready:
            starts.insert(0, self.starts[k])
            ends.insert(0, ready)
        self.starts[k : j + 1], self.ends[k : j + 1] = starts, ends
        if len(self.starts) > _GAPS:
            del self.starts[0], self.ends[0]
        return begin, end


class Queues:
    """Queues that each accept one DMA per ``queue_issue_ns``."""

    def __init__(self, facts: DmaFacts) -> None:
        self.count = facts.queues
        self.interval = facts.queue_issue_ns
        self.accepted: list[float] = []

    def accept(self, ready: float) -> float:
        """The first time from ``ready`` on at which a queue is idle for one whole interval."""
        first = bisect_right(self.accepted, ready - self.interval)
        last = bisect_right(self.accepted, ready + self.interval)
        time = ready
        while last - first >= self.count:
            time = self.accepted[first] + self.interval
            first += 1
            last = bisect_right(self.accepted, time + self.interval)
        insort(self.accepted, time)
        return time


class Service(NamedTuple):
    """When a DMA was accepted, when its first byte could move and did, and when it was done."""

    issued: float
    ready: float
    begin: float
    end: float


class Dma:
    """Queues and rings of one core.

    Transfers over all partitions load all rings alike; until the first other one comes, one ring
    stands for all of them.
    """

    def __init__(self, facts: DmaFacts) -> None:
        self.facts = facts
        self.queues = Queues(facts)
        self.rings = [Ring()]

    def shares(self, partition: int, partitions: int, busy_ns: float) -> list[tuple[int, float]]:
        """(ring, ns) of a transfer whose fullest ring takes ``busy_ns``."""
        facts = self.facts
        per_ring = facts.partitions_per_engine
        if not partitions or partitions == per_ring * facts.engines:
            return [(r, busy_ns) for r in range(len(self.rings))]
        fixed = facts.transfer_overhead_ns
        first = partition // per_ring
        found: list[tuple[int, float]] = []
        for k in range(-(-partitions // per_ring)):
            rows = min(per_ring, partitions - k * per_ring)
            share = rows / min(per_ring, partitions)
            found.append(((first + k) % facts.engines, (busy_ns - fixed) * share + fixed))
        self.rings += [Ring(self.rings[0]) for _ in range(facts.engines - len(self.rings))]
        return found

    def serve(self, time: float, shares: Iterable[tuple[int, float]]) -> Service:
        """Run a transfer that is issued at ``time`` at the earliest."""
        issued = self.queues.accept(time)
        ready = issued + self.facts.latency_ns
        served = [self.rings[r].fill(ready, ns) for r, ns in shares]
        return Service(issued, ready, max(b for b, _ in served), max(e for _, e in served))

    def work(self) -> tuple[float, ...]:
        """Busy time per ring so far."""
        alike = self.facts.engines - len(self.rings)
        return tuple(r.busy_ns for r in (*self.rings, *[self.rings[0]] * alike))

    def leap(self, work: Iterable[float]) -> None:
        """Take the ring time of transfers that are not simulated, behind all that were.

        What the rings have to spare then lies at the end, where the next transfers come.
        """
        for ring, ns in zip(self.rings, work, strict=False):
            if ns > 0.0:
                ring.fill(ring.starts[-1], ns)
