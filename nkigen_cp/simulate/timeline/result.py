"""What the timeline found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from nkigen_cp.simulate.timeline.path import Segment
from nkigen_cp.simulate.timeline.state import Event
from nkigen_cp.simulate.timeline.trace import write_trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The modelled run of a kernel. All times are nanoseconds.

    ``busy_ns`` has an entry per engine: "tensor", "vector", "scalar", "gpsimd", and "dma" for the
    fullest DMA ring. ``instructions`` counts loops multiplied out. ``events`` are the executions
    simulated; iterations of loops in steady state are one event.
    """

    latency_ns: float
    busy_ns: Mapping[str, float]
    critical_path: tuple[Segment, ...]
    hbm_bound_ns: float
    engine_bound_ns: float
    instructions: int
    events: tuple[Event, ...] = field(repr=False)

    @property
    def busy_share(self) -> dict[str, float]:
        """Busy time over latency, per engine."""
        return {e: ns / self.latency_ns if ns else 0.0 for e, ns in self.busy_ns.items()}

    @property
    def roofline_ns(self) -> float:
        """What no schedule can beat: the larger of the HBM and the matmul bound."""
        return max(self.hbm_bound_ns, self.engine_bound_ns)

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a Chrome/Perfetto trace of at most about 200,000 events.

        Raises:
            ArgumentError: the file cannot be written.
        """
        write_trace(path, self.events)
