"""Compiled workloads: ``python -m benchmarks.timeline.workloads`` prints estimate and objective."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import nkigen_cp as cp
from nkigen_cp.simulate.timeline import estimate
from nkigen_cp.workloads import WORKLOADS

NAMES = ("rmsnorm", "softmax", "layernorm", "feedforward", "qwen3emb_layer_s128_bf16")


def row(name: str, effort: str) -> str:
    """One line: microseconds of estimate, objective and roofline, and busy shares."""
    workload = WORKLOADS[name]
    graph = cp.trace(workload.function, *workload.make_inputs(0), **dict(workload.static))
    precision = "bf16" if name.endswith("bf16") else "exact"
    plan = cp.solve(graph, effort=effort, matmul_precision=precision)
    found = estimate(cp.lower(plan))
    shares = " ".join(f"{engine} {share:.0%}" for engine, share in found.busy_share.items())
    return (
        f"| {name} | {found.latency_ns / 1e3:.1f} | {plan.objective_ns / 1e3:.1f} | "
        f"{plan.objective_ns / found.latency_ns - 1:+.0%} | {found.roofline_ns / 1e3:.1f} | "
        f"{found.latency_ns / found.roofline_ns:.2f} | {shares} |"
    )


def main(names: Sequence[str]) -> None:
    """Print the table of the workloads."""
    print("| workload | estimate us | objective us | off | roofline us | ratio | busy |")
    print("|---|---|---|---|---|---|---|")
    for name in names or NAMES:
        print(row(name, "fast"), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
