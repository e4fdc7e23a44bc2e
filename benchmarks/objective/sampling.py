"""Different plans of one graph: the greedy plan under prices that a seed distorts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nkigen_cp.errors import NkigenError
from nkigen_cp.frontend import spec, trace
from nkigen_cp.lowering.lower import lower_plan
from nkigen_cp.simulate.timeline import estimate
from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.decisions import Decisions, busy_of, holds
from nkigen_cp.solver.greedy import greedy
from nkigen_cp.solver.instance import Instance, build_instance
from nkigen_cp.solver.pack import pack
from nkigen_cp.solver.plan import PLAN_VERSION, Options, PlanData
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure import Structure, structured
from nkigen_cp.solver.structure.grow import proposals
from nkigen_cp.solver.timing.least import times_of
from nkigen_cp.solver.timing.rows import timing_of
from nkigen_cp.targets import TRN2
from nkigen_cp.workloads import WORKLOADS

SPREADS = (0.1, 0.3, 0.6, 1.0, 2.0)
"""Standard deviations of the logarithm of the distortion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One plan: what the rows say it takes, all engines' work, and the timeline, in ns."""

    time_ns: int
    work_ns: int
    estimate_ns: float

    def off(self, share: int) -> float:
        """Deviation of the objective from the timeline, where one part in ``share`` is added."""
        return (self.time_ns + self.work_ns / share) / self.estimate_ns - 1.0


def precision(workload: str) -> str:
    """Contractions of bfloat16 workloads run in bfloat16."""
    return "bf16" if workload.endswith("_bf16") else "exact"


def samples(workload: str, count: int) -> list[Sample]:
    """That many different plans that fit, or as many as are found."""
    w = WORKLOADS[workload]
    graph = trace(w.function, *(spec(i.shape, i.dtype) for i in w.inputs), **dict(w.static))
    core = canonical(graph, Options(matmul_precision=precision(workload)))
    found = proposals(core, TRN2)
    structure = found[0].structure if found else Structure()
    instance = build_instance(structured(core, structure), TRN2)
    timing = timing_of(instance)
    taken: list[Sample] = []
    for decisions in _different(instance, 4 * count):
        plan = _plan(instance, structure, decisions)
        if plan is not None and len(taken) < count:
            taken.append(
                Sample(
                    time_ns=times_of(timing, holds(decisions)).end,
                    work_ns=sum(busy_of(instance, decisions).values()),
                    estimate_ns=estimate(lower_plan(instance.program, plan), TRN2).latency_ns,
                )
            )
    return taken


def _different(instance: Instance, tries: int) -> Iterator[Decisions]:
    seen: dict[str, None] = {}
    for seed in range(tries):
        spread = SPREADS[seed % len(SPREADS)] if seed else 0.0
        try:
            decisions = greedy(_distorted(instance, seed, spread))
        except NkigenError:
            continue  # under these prices it led itself into a corner
        if repr(decisions) not in seen:
            seen[repr(decisions)] = None
            yield decisions


def _distorted(instance: Instance, seed: int, spread: float) -> Instance:
    rng = np.random.default_rng(seed)

    def priced(busy: Mapping[str, int]) -> dict[str, int]:
        factor = float(np.exp(rng.normal(0.0, spread)))
        return {e: max(1, round(ns * factor)) for e, ns in busy.items()}

    candidates = tuple(replace(c, busy_ns=priced(c.busy_ns)) for c in instance.candidates)
    choices = {
        name: replace(
            choice, moves=tuple(replace(m, busy_ns=priced(m.busy_ns)) for m in choice.moves)
        )
        for name, choice in instance.choices.items()
    }
    return replace(instance, candidates=candidates, choices=choices)


def _plan(instance: Instance, structure: Structure, decisions: Decisions) -> PlanData | None:
    steps, forms = assemble(instance, decisions)
    packed = pack(steps, forms, instance.target.sbuf_partition_bytes)
    if packed.peak_bytes > instance.target.sbuf_partition_bytes:
        return None
    used = {name: None for s in steps for name in s.path}
    return PlanData(
        version=PLAN_VERSION,
        kernel=instance.program.name,
        graph_hash="",
        target=instance.target.name,
        options=Options(),
        solver="",
        status="GREEDY",
        deterministic=True,
        objective_ns=0,
        bound_ns=0,
        busy_ns=busy_of(instance, decisions),
        residency={},
        forms=packed.forms,
        steps=tuple(steps),
        cuts=structure.cuts,
        loops=tuple(k for n, k in instance.program.loops.items() if n in used),
    )
