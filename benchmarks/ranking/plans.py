"""Many different plans of one graph: loops as proposed, and candidates left out by chance."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import nkigen_cp as cp
from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.lowering.lower import lower_plan
from nkigen_cp.schedule import clock
from nkigen_cp.simulate.timeline import estimate
from nkigen_cp.solver.admit import Admit
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.solve import Request, canonical
from nkigen_cp.solver.structure import Structure
from nkigen_cp.solver.structure.grow import proposals
from nkigen_cp.workloads import WORKLOADS

STRUCTURES = 12
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Shares of an op's candidates that are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A plan's time as the solver and as the timeline see it."""

    structure: int
    share: float
    objective_ns: int
    estimate_ns: float


def without(share: float, chance: random.Random) -> Admit:
    """Leave out that share of every op's candidates, never all of them."""

    def admit(_: FactorOp, found: Sequence[Candidate]) -> Sequence[Candidate]:
        kept = [c for c in found if chance.random() >= share]
        return kept or found

    return admit


def points(workload: str, rounds: int) -> Iterator[Point]:
    """Different plans, solved at effort "fast", each with its schedule; same every time."""
    request = _request(workload)
    found = proposals(request.core, request.target)
    structures = [p.structure for p in itertools.islice(found, STRUCTURES)] or [Structure()]
    chance = random.Random(0)
    known: set[tuple[int, float]] = set()
    for _, share, (k, structure) in itertools.product(range(rounds), SHARES, enumerate(structures)):
        try:
            plan = request.solved(structure, admit=without(share, chance))
        except Infeasible:
            continue
        kernel = lower_plan(request.planned(plan), plan)
        found_ns = estimate(kernel, request.target).latency_ns
        if (plan.objective_ns, found_ns) not in known:
            known.add((plan.objective_ns, found_ns))
            yield Point(
                structure=k, share=share, objective_ns=plan.objective_ns, estimate_ns=found_ns
            )


def _request(name: str) -> Request:
    workload, target = WORKLOADS[name], cp.TRN2
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    graph = cp.trace(workload.function, *specs, **dict(workload.static))
    precision = "bf16" if "bf16" in name else "exact"
    options = Options(effort="fast", matmul_precision=precision)
    return Request(graph, canonical(graph, options), target, options, None, None, clock(target))
