"""The figures of a compiled program that commands print and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a plan is expected to cost. Times are nanoseconds of the model.

    ``latency_ns`` and ``busy_ns`` are of the engine timeline; ``objective_ns`` and ``bound_ns`` are
    what the solver minimised and its proven bound.
    """

    kernel: str
    target: str
    status: str
    deterministic: bool
    objective_ns: int
    bound_ns: int
    gap: float
    latency_ns: float
    roofline_ns: float
    busy_ns: Mapping[str, float]
    instructions: int
    by_engine: Mapping[str, int]
    hbm_bytes: int
    compulsory_bytes: int

    @property
    def hbm_ratio(self) -> float:
        """HBM bytes over those that no plan can save."""
        return self.hbm_bytes / self.compulsory_bytes if self.compulsory_bytes else 0.0


def figures(plan: cp.Plan, kernel: Kernel) -> Figures:
    """The figures of a plan and the kernel it became."""
    counts, time = cp.count(kernel), cp.estimate(kernel)
    return Figures(
        kernel=kernel.name,
        target=plan.target.name,
        status=plan.status,
        deterministic=plan.deterministic,
        objective_ns=plan.objective_ns,
        bound_ns=plan.bound_ns,
        gap=plan.gap,
        latency_ns=time.latency_ns,
        roofline_ns=time.roofline_ns,
        busy_ns=time.busy_ns,
        instructions=counts.instructions,
        by_engine=counts.by_engine,
        hbm_bytes=counts.hbm_bytes,
        compulsory_bytes=counts.compulsory_bytes,
    )
