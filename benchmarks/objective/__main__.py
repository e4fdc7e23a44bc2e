"""How well the objective tells the time that the timeline finds.

    python -m benchmarks.objective [--effort fast] [--plans 30] [workload ...]

For each workload: objective, estimate and proven gap of the solver's plan, and over different
(mostly bad) plans the rank correlation. Then the one constant that was fitted, the share of all
work: for each workload the share that serves the others' best plans best, and how far the
objective of its own is off with that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import click

import nkigen_cp as cp
from benchmarks.objective.sampling import Sample, precision, samples
from nkigen_cp.solver.timing.values import WORK_SHARE
from nkigen_cp.workloads import WORKLOADS

NAMES = (
    "rmsnorm",
    "layernorm",
    "softmax",
    "rope",
    "feedforward_s128_bf16",
    "attention_block_s128_bf16",
    "qwen3emb_layer_s128_bf16",
    "matmul_1024x1024x1024_bf16",
    "matmul_2048x2048x2048_bf16",
    "sdpa_1_16_128_128_f32",
    "layernorm_4096x8192_f32",
)
SHARES = (8, 16, 32, 64, 128)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's: that of the ranks, equal values sharing theirs; nan if all are equal."""
    x, y = _ranks(a), _ranks(b)
    mean = (len(x) - 1) / 2
    both = sum((i - mean) * (j - mean) for i, j in zip(x, y, strict=True))
    spread = math.sqrt(sum((i - mean) ** 2 for i in x) * sum((j - mean) ** 2 for j in y))
    return both / spread if spread else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    return [(order.index(v) + len(order) - order[::-1].index(v) - 1) / 2 for v in values]


def solved(name: str, effort: str) -> str:
    """Objective, estimate and gap of the solver's plan, as cells."""
    w = WORKLOADS[name]
    inputs = [cp.spec(i.shape, i.dtype) for i in w.inputs]
    graph = cp.trace(w.function, *inputs, **dict(w.static))
    plan = cp.solve(graph, effort=effort, matmul_precision=precision(name))
    found = cp.estimate(cp.lower(plan)).latency_ns
    return (
        f"{plan.objective_ns / 1e3:.1f} | {found / 1e3:.1f} | "
        f"{plan.objective_ns / found - 1:+.1%} | {plan.status} | {plan.gap:.1%}"
    )


def _best(taken: Sequence[Sample]) -> Sample:
    return min(taken, key=lambda s: s.estimate_ns)


def _left_out(found: Mapping[str, Sequence[Sample]]) -> None:
    click.echo("\n| left out | share that suits the others | off |\n|---|---|---|")
    for name, own in found.items():
        others = [_best(taken) for other, taken in found.items() if other != name]
        share = min(SHARES, key=lambda k: sum(abs(s.off(k)) for s in others))
        click.echo(f"| {name} | 1/{share} | {_best(own).off(share):+.1%} |")


@click.command()
@click.option("--effort", default="fast", show_default=True)
@click.option("--plans", default=30, show_default=True, help="Different plans per workload.")
@click.argument("names", nargs=-1)
def main(effort: str, plans: int, names: tuple[str, ...]) -> None:
    """Print both tables, in microseconds."""
    click.echo(
        "| workload | objective | estimate | off | status | gap | plans | rank correlation |"
    )
    click.echo("|---|---|---|---|---|---|---|---|")
    found: dict[str, list[Sample]] = {}
    for name in names or NAMES:
        found[name] = samples(name, plans)
        taken = found[name]
        told = [s.time_ns + s.work_ns / WORK_SHARE for s in taken]
        rank = rank_correlation(told, [s.estimate_ns for s in taken])
        click.echo(f"| {name} | {solved(name, effort)} | {len(taken)} | {rank:.3f} |")
    if len(found) > 1:
        _left_out(found)


if __name__ == "__main__":
    main()
