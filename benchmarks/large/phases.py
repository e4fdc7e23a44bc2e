"""What is measured of one row, phase by phase; runs in the row's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nkigen_cp as cp
from benchmarks import nkicheck
from benchmarks.large import judge
from benchmarks.large.numerics import reference
from benchmarks.large.rows import Row
from benchmarks.program import Reference, simulate
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.simulate.timeline.roofline import roofline
from nkigen_cp.workloads import WORKLOADS, Workload

Figures = dict[str, Any]


@dataclass(slots=True, kw_only=True, eq=False)
class State:
    """A row on its way through the compiler; later phases use what earlier ones have made."""

    row: Row
    effort: str
    graph: cp.Graph | None = None
    core: cp.Graph | None = None
    plan: cp.Plan | None = None
    kernel: Kernel | None = None
    source: str | None = None
    wanted: Reference | None = None

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.row.workload]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A step that returns figures; without the results of ``needs``, it has nothing to do."""

    name: str
    run: Callable[[State], Figures]
    needs: Sequence[str] = ()
    numeric: bool = False
    """Whether only numeric rows go through it."""


def _have(value: Any) -> Any:
    """What a phase needs is there: the caller looks before it runs the phase."""
    assert value is not None
    return value


def _trace(state: State) -> Figures:
    specs = [cp.spec(i.shape, i.dtype) for i in state.workload.inputs]
    state.graph = cp.trace(state.workload.function, *specs, **state.workload.static)
    return {"constant_bytes": sum(c.nbytes for c in state.graph.constants.values())}


def _canonicalise(state: State) -> Figures:
    state.core = canonicalise(_have(state.graph), matmul_precision=state.row.matmul_precision)
    return {"ops": len(state.core.ops)}


def _refine(state: State) -> Figures:
    return {"factored_ops": len(refine(_have(state.core)).ops)}


def _roofline(state: State) -> Figures:
    found = roofline(_have(state.graph), cp.TRN2, matmul_precision=state.row.matmul_precision)
    return {
        "compulsory_bytes": found.compulsory_bytes,
        "hbm_bound_ns": found.hbm_bound_ns,
        "engine_bound_ns": found.engine_bound_ns,
        "roofline_ns": found.ns,
    }


def _solve(state: State) -> Figures:
    plan = state.plan = cp.solve(
        _have(state.graph),
        target=cp.TRN2,
        effort=state.effort,
        matmul_precision=state.row.matmul_precision,
    )
    return {
        "status": plan.status,
        "objective_ns": plan.objective_ns,
        "bound_ns": plan.bound_ns,
        "gap": plan.gap,
        "deterministic": plan.deterministic,
    }


def _lower(state: State) -> Figures:
    state.kernel = cp.lower(_have(state.plan))
    return {"bound_inputs": list(state.kernel.bound_inputs)}


def _count(state: State) -> Figures:
    counts = cp.count(_have(state.kernel))
    return {
        "hbm_bytes": counts.hbm_bytes,
        "instructions": counts.instructions,
        "by_engine": dict(counts.by_engine),
    }


def _estimate(state: State) -> Figures:
    found = cp.estimate(_have(state.kernel))
    return {"latency_ns": found.latency_ns, "busy_share": found.busy_share}


def _emit(state: State) -> Figures:
    state.source = cp.emit_nki(_have(state.kernel))
    return {"lines": state.source.count("\n"), "characters": len(state.source)}


def _reference(state: State) -> Figures:
    state.wanted = reference(state.workload, _have(state.graph), state.row.error)
    return {"error_limits": list(state.wanted.limits)}


def _simulate(state: State) -> Figures:
    wanted = _have(state.wanted)
    got = simulate(state.workload, _have(state.kernel), wanted.inputs)
    return {"errors": wanted.errors(got)}


def _judge(state: State) -> Figures:
    """The verdict of the independent checker: on results, or on counts alone."""
    if not nkicheck.CHECKER.exists():
        return {"verdict": judge.ABSENT}
    source, kernel = _have(state.source), _have(state.kernel)
    if state.row.numeric and state.wanted is not None:
        found = nkicheck.check(source, kernel, state.wanted)
    else:
        found = judge.count(source, kernel)
    verdict = "; ".join(found.problems) or "clean"
    return {"verdict": verdict, "warnings": list(found.warnings), "checked_errors": found.errors}


PHASES: tuple[Phase, ...] = (
    Phase(name="trace", run=_trace),
    Phase(name="roofline", run=_roofline, needs=("graph",)),
    Phase(name="canonicalise", run=_canonicalise, needs=("graph",)),
    Phase(name="refine", run=_refine, needs=("core",)),
    Phase(name="solve", run=_solve, needs=("graph",)),
    Phase(name="lower", run=_lower, needs=("plan",)),
    Phase(name="count", run=_count, needs=("kernel",)),
    Phase(name="estimate", run=_estimate, needs=("kernel",)),
    Phase(name="emit", run=_emit, needs=("kernel",)),
    Phase(name="reference", run=_reference, needs=("kernel",), numeric=True),
    Phase(name="simulate", run=_simulate, needs=("kernel", "wanted"), numeric=True),
    Phase(name="nkicheck", run=_judge, needs=("source",)),
)
