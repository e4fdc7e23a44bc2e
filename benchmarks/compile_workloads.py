"""Compile workloads and write what it took and what came out, one JSON row per workload.

    python benchmarks/compile_workloads.py -o build/bench.json [--only rmsnorm --only softmax]

Times are seconds on this machine; objective and bound are the solver's, in nanoseconds.
"""

from __future__ import annotations

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

import nkigen_cp as cp
from nkigen_cp.workloads import WORKLOADS

DEFAULT = (
    "swiglu_act",
    "rmsnorm",
    "layernorm",
    "softmax",
    "rope",
    "matmul_gup",
    "feedforward",
    "matmul_2048x2048x2048_bf16",
    "transpose_1024x1024",
    "attention_block_s128_bf16",
    "qwen3emb_layer_s128_bf16",
)


def measure(name: str, effort: str) -> dict[str, Any]:
    """One row: the time of each stage, the plan's figures and the kernel's counts."""
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    marks = [time.perf_counter()]
    graph = cp.trace(workload.function, *specs, **workload.static)
    marks.append(time.perf_counter())
    plan = cp.solve(graph, target=cp.TRN2, effort=effort)
    marks.append(time.perf_counter())
    kernel = cp.lower(plan)
    marks.append(time.perf_counter())
    counts = cp.count(kernel)
    stages = ("trace_s", "solve_s", "lower_s")
    return {
        "workload": name,
        "ops": len(graph.ops),
        **{s: round(b - a, 3) for s, a, b in zip(stages, marks, marks[1:], strict=False)},
        "status": str(plan.status),
        "objective_ns": plan.objective_ns,
        "bound_ns": plan.bound_ns,
        "gap": plan.gap,
        "instructions": dict(counts.by_engine),
        "hbm_bytes": counts.hbm_bytes,
        "compulsory_bytes": counts.compulsory_bytes,
    }


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench.json"))
@click.option("--effort", default="balanced", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(WORKLOADS)), metavar="WORKLOAD")
def main(output: Path, effort: str, only: tuple[str, ...]) -> None:
    """Compile workloads for trn2; time, gap and counts of each go to a JSON file."""
    rows: list[dict[str, Any]] = []
    for name in only or DEFAULT:
        row = measure(name, effort)
        rows.append(row)
        moved = row["hbm_bytes"] / row["compulsory_bytes"]
        click.echo(
            f"{name:32} solve {row['solve_s']:7.2f} s  cost {row['objective_ns'] / 1000:9.1f} us  "
            f"{sum(row['instructions'].values()):7,} instructions  {moved:.2f}x compulsory bytes"
        )
    report = {
        "ortools": version("ortools"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "effort": effort,
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    click.echo(f"wrote {output}")


if __name__ == "__main__":
    main()
