"""Rank correlation of the solver's objective and the timeline over different plans of a graph.

    python -m benchmarks.ranking [--only sdpa_1_16_512_128_f32] [--rounds 2]

Writes benchmarks/results/ranking.json and benchmarks/RANKING.md; exit code 1 if a limit is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.markdown import head, record
from benchmarks.ranking.plans import Point, points

FOLDER = Path(__file__).resolve().parents[1]
ROWS = (
    "matmul_2048x2048x2048_bf16",
    "sdpa_1_16_512_128_f32",
    "attention_block_s128_bf16",
)
LEAST_CORRELATION, LEAST_PLANS = 0.9, 30
NEAR = 2.0
"""Plans within this factor of the best are those among which a solve really chooses."""


def correlation(found: Sequence[Point]) -> float:
    """Spearman's rank correlation; equal values share their mean rank."""
    if len(found) < 2:
        return float("nan")
    by_objective = _ranks([p.objective_ns for p in found])
    return statistics.correlation(by_objective, _ranks([p.estimate_ns for p in found]))


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) - 1) / 2 for v in values]


def _near(found: Sequence[Point]) -> list[Point]:
    least = min(p.estimate_ns for p in found)
    return [p for p in found if p.estimate_ns <= NEAR * least]


def _line(name: str, found: Sequence[Point]) -> str:
    near = _near(found)
    off = statistics.median(abs(p.objective_ns / p.estimate_ns - 1) for p in found)
    spread = max(p.estimate_ns for p in found) / min(p.estimate_ns for p in found)
    cells = [
        name,
        f"{len(found)}",
        f"{spread:.1f}",
        f"{correlation(found):.3f} {'✓' if _met(found) else '✗'}",
        f"{len(near)}",
        f"{correlation(near):.3f}",
        f"{off:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _met(found: Sequence[Point]) -> bool:
    return len(found) >= LEAST_PLANS and correlation(found) >= LEAST_CORRELATION


def _page(results: dict[str, list[Point]]) -> str:
    lines = [
        *head("Objective and timeline", "python -m benchmarks.ranking", "fast"),
        "Different plans of one graph: the first structures of loops that are proposed, each",
        "solved with all candidates and with a share of every op's left out by chance, steps",
        "ordered as always. Spearman's rank correlation of `objective_ns` and the estimate of the",
        f"timeline, limit {LEAST_CORRELATION} over at least {LEAST_PLANS} plans; beside it that of",
        f"the plans within {NEAR:g} times the best alone, which has no limit.",
        "",
        "| workload | plans | slowest / best | correlation | plans near the best |"
        " correlation there | median off |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_line(name, found) for name, found in results.items()),
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Draws of every share.")
@click.option("--only", multiple=True, metavar="WORKLOAD", help="These; nothing is written.")
def main(rounds: int, only: tuple[str, ...]) -> None:
    """Solve graphs many times and compare the order of the results."""
    results: dict[str, list[Point]] = {}
    for name in only or ROWS:
        results[name] = list(points(name, rounds))
        click.echo(_line(name, results[name]))
    if not only:
        rows = [{"workload": n, "plans": [asdict(p) for p in r]} for n, r in results.items()]
        text = json.dumps(record("fast", rows), indent=1) + "\n"
        (FOLDER / "results" / "ranking.json").write_text(text, encoding="utf-8")
        (FOLDER / "RANKING.md").write_text(_page(results), encoding="utf-8")
    sys.exit(0 if all(_met(found) for found in results.values()) else 1)


if __name__ == "__main__":
    main()
