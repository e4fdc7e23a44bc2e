"""Questions to the plans of the benchmark: how long answers take, and whether they are right.

    python -m benchmarks.why [--only softmax]

Every workload is asked for another partition axis, a spill where it is resident, and another
engine. The predicted change of latency is held against the difference of two full solves with the
same budget. Writes benchmarks/results/why.json and benchmarks/WHY.md (with --only the other rows
stay); exit code 1 if a limit is missed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

import nkigen_cp as cp
from benchmarks.markdown import head, record
from benchmarks.program import trace
from benchmarks.rows import ROWS, Row
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.plan import Contract, Elementwise, Step
from nkigen_cp.solver.plan.pins import AnyPin, demands

FOLDER = Path(__file__).resolve().parent
MOST_S = 10.0
MOST_OFF = 0.02
"""Part of the latency by which a prediction may be off."""

EFFORT = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, its answer and what two full solves say; changes are None if impossible."""

    workload: str
    question: str
    seconds: float
    latency_ns: int
    change_ns: int | None
    bound_ns: int | None
    full_change_ns: int | None

    @property
    def off(self) -> float:
        """Distance of the prediction from the full solves, as a part of the latency."""
        if self.change_ns is None or self.full_change_ns is None:
            return 0.0 if self.change_ns == self.full_change_ns else float("inf")
        return abs(self.change_ns - self.full_change_ns) / self.latency_ns

    @property
    def met(self) -> bool:
        return self.seconds < MOST_S and self.off <= MOST_OFF


def questions(plan: cp.Plan) -> Iterator[AnyPin]:
    """Another axis, another home and another engine for the largest tensors."""
    program = plan.program
    made = [t for t in program.tensors if program.producers(t)]
    size = {t: program.tensors[t].size_bytes for t in program.tensors}
    for tensor in sorted(made or program.inputs, key=lambda t: -size[t]):
        held = [f.layout for f in plan.forms if f.tensor == tensor and f.layout]
        used = [name for x in held for name in x.partition]
        free = [f.name for f in program.tensors[tensor].factors if f.name not in used]
        if used and free:
            yield cp.pin(tensor, partition=free[-1])
            break
    resident = [t for t in made if plan.residency.get(t) == "resident"]
    for tensor in sorted(resident, key=lambda t: -size[t])[:1]:
        yield cp.pin(tensor, residency="spill")
    for step in _computing(plan):
        spec = step.spec.epilogue if isinstance(step.spec, Contract) else step.spec
        if isinstance(spec, Elementwise) and spec.engine in ("vector", "scalar"):
            other = "scalar" if spec.engine == "vector" else "vector"
            yield cp.pin(program.ops[spec.cover.root].output.tensor, engine=other)
            break


def _computing(plan: cp.Plan) -> list[Step]:
    """Steps that compute, the longest first."""
    found = [s for s in plan.steps if isinstance(s.spec, (Elementwise, Contract))]
    return sorted(found, key=lambda s: -sum(s.busy_ns.values()))


def asked(row: Row) -> Iterator[Asked]:
    """The questions of one workload, each with its own full solve."""
    graph = trace(row)
    plan = _solved(row, graph)
    for one in questions(plan):
        start = time.process_time()
        answer = plan.why(one)
        seconds = time.process_time() - start
        try:
            full: int | None = _solved(row, graph, [one]).objective_ns - plan.objective_ns
        except cp.Infeasible:
            full = None
        yield Asked(
            workload=row.workload,
            question=", ".join(str(d) for d in demands([one])),
            seconds=seconds,
            latency_ns=plan.objective_ns,
            change_ns=answer.change_ns,
            bound_ns=None if answer.after is None else answer.after.bound_ns,
            full_change_ns=full,
        )


def _solved(row: Row, graph: Graph, pins: Sequence[AnyPin] = ()) -> cp.Plan:
    return cp.solve(graph, effort=EFFORT, matmul_precision=row.matmul_precision, pins=pins)


def _line(a: Asked) -> str:
    cells = [
        a.workload,
        f"`{a.question}`",
        f"{a.seconds:.1f} {'✓' if a.seconds < MOST_S else '✗'}",
        f"{a.latency_ns:,}",
        _change(a.change_ns),
        _change(a.full_change_ns),
        f"{a.off:.2%} {'✓' if a.off <= MOST_OFF else '✗'}",
        "" if a.bound_ns is None else f"{a.bound_ns:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _change(ns: int | None) -> str:
    return "impossible" if ns is None else f"{ns:+,}"


def _page(found: Sequence[Asked]) -> str:
    lines = [
        *head("Questions to plans", "python -m benchmarks.why", EFFORT),
        "`plan.why` asked for another partition axis, a spill where it is resident, and another",
        "engine. Times are of the cost model, in nanoseconds. The change that it predicts is held",
        "against the difference of two full solves with the same deterministic budget; limits:",
        f"{MOST_S:.0f} s per answer, {MOST_OFF:.0%} of the latency. Seconds are of the processor,",
        "all threads together. Movements compute nothing and are asked for an axis, if anything.",
        "",
        "| workload | question | seconds | latency | predicted | two full solves | off |"
        " proven at least |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(a) for a in found),
    ]
    return "\n".join(lines) + "\n"


def _stored() -> dict[str, list[Asked]]:
    path = FOLDER / "results" / "why.json"
    found: dict[str, list[Asked]] = {}
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    for row in rows:
        found.setdefault(row["workload"], []).append(Asked(**row))
    return found


@click.command()
@click.option("--only", multiple=True, metavar="WORKLOAD", help="These; the other rows stay.")
def main(only: tuple[str, ...]) -> None:
    """Ask every workload three questions."""
    results = _stored() if only else {}
    for row in ROWS:
        if not only or row.workload in only:
            results[row.workload] = []
            for found in asked(row):
                results[row.workload].append(found)
                click.echo(_line(found))
            _write(results)
    sys.exit(0 if all(a.met for found in results.values() for a in found) else 1)


def _write(results: dict[str, list[Asked]]) -> None:
    """After every workload: a run may be stopped."""
    ordered = [a for row in ROWS for a in results.get(row.workload, ())]
    text = json.dumps(record(EFFORT, [asdict(a) for a in ordered]), indent=1) + "\n"
    (FOLDER / "results" / "why.json").write_text(text, encoding="utf-8")
    (FOLDER / "WHY.md").write_text(_page(ordered), encoding="utf-8")


if __name__ == "__main__":
    main()
