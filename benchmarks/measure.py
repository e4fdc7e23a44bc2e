"""Compile one row and measure everything that its limits speak of."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import nkigen_cp as cp
from benchmarks import nkicheck
from benchmarks.fingerprint import elsewhere, fingerprint
from benchmarks.program import Reference, reference, simulate, solve, trace
from benchmarks.rows import Row
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.solver.search import Progress
from nkigen_cp.workloads import WORKLOADS

SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A figure against its limit, both as they are printed."""

    figure: str
    measured: str
    limit: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row's figures by name, and the checks they went through."""

    row: Row
    figures: dict[str, Any]
    checks: tuple[Check, ...]

    @property
    def met(self) -> bool:
        return all(check.met for check in self.checks)


def measure(row: Row, effort: str) -> Measured:
    """Compile, simulate, judge and compile again; an error is a figure and a missed check."""
    try:
        figures = _figures(row, effort)
    except cp.NkigenError as error:
        failed = Check(figure="compiles", measured=str(error), limit="no error", met=False)
        return Measured(row=row, figures={"error": str(error)}, checks=(failed,))
    return Measured(row=row, figures=figures, checks=_checks(row, figures))


def _figures(row: Row, effort: str) -> dict[str, Any]:
    graph = trace(row)
    begun = time.perf_counter()
    progress: list[float] = []

    def on_progress(_: Progress) -> None:
        progress.append(time.perf_counter() - begun)

    plan = solve(row, graph, effort, on_progress)
    solved = time.perf_counter()
    kernel = cp.lower(plan)
    lowered = time.perf_counter()
    source = cp.emit_nki(kernel)
    wanted = reference(row, graph)
    errors = wanted.errors(simulate(WORKLOADS[row.workload], kernel, wanted.inputs))
    counts = cp.count(kernel)
    return {
        "hbm_bytes": counts.hbm_bytes,
        "compulsory_bytes": counts.compulsory_bytes,
        "traffic": counts.ratio,
        "instructions": counts.instructions,
        "by_engine": dict(counts.by_engine),
        "bound_inputs": list(kernel.bound_inputs),
        "errors": errors,
        "error_limits": list(wanted.limits),
        "reference_errors": list(wanted.rounded),
        "status": plan.status,
        "objective_ns": plan.objective_ns,
        "bound_ns": plan.bound_ns,
        "gap": plan.gap,
        "first_s": progress[0] if progress else float("inf"),
        "solve_s": solved - begun,
        "lower_s": lowered - solved,
        "identical": fingerprint(plan, source) == elsewhere(row.workload, effort),
        "nkicheck": _judged(source, kernel, wanted),
    }


def _judged(source: str, kernel: Kernel, wanted: Reference) -> dict[str, Any] | None:
    """What nkicheck finds; None without it."""
    if not nkicheck.CHECKER.exists():
        return None
    return asdict(nkicheck.check(source, kernel, wanted))


def _checks(row: Row, figures: dict[str, Any]) -> tuple[Check, ...]:
    errors, limits = figures["errors"], figures["error_limits"]
    worst, allowed = max(zip(errors, limits, strict=True), key=lambda pair: pair[0] / pair[1])
    judged = figures["nkicheck"]
    verdict = SKIPPED if judged is None else "; ".join(judged["problems"]) or "clean"
    return (
        _at_most("traffic", figures["traffic"], row.traffic, "{:.3f}"),
        _at_most("instructions", figures["instructions"], row.instructions, "{:,}"),
        _at_most("error", worst, allowed, "{:.1e}"),
        *(_at_most(name, figures[name], limit, "{:.2f}") for name, limit in row.times.items()),
        Check(
            figure="identical",
            measured="yes" if figures["identical"] else "no",
            limit="yes",
            met=figures["identical"],
        ),
        Check(
            figure="nkicheck", measured=verdict, limit="clean", met=verdict in ("clean", SKIPPED)
        ),
    )


def _at_most(figure: str, value: float, limit: float, form: str) -> Check:
    measured, bound = form.format(value), form.format(limit)
    return Check(figure=figure, measured=measured, limit=bound, met=value <= limit)
