"""Compile the programs that are larger than the chip and hold them against their limits.

    python -m benchmarks.large [--only softmax_4096x32768_f32] [--limit 900]

Writes benchmarks/results/large.json and benchmarks/LARGE.md; exit code 1 if a limit is missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.large.checks import checks
from benchmarks.large.page import document, page
from benchmarks.large.process import Result, run
from benchmarks.large.rows import ROWS

FOLDER = Path(__file__).resolve().parents[1]


def _show(result: Result) -> None:
    name = result.row.workload
    for phase, error in result.errors.items():
        click.echo(f"{name:36} {phase}: {error}")
    # Lengths beside those of other rows are judged at the end, when all rows are there.
    known = [c for c in checks(result, [result]) if not c.figure.startswith("lines")]
    figures = ", ".join(
        f"{c.figure} {c.measured}{'' if c.met else f' (limit {c.limit})'}" for c in known
    )
    click.echo(f"{name:36} {figures}")


def _write(results: Sequence[Result], effort: str) -> None:
    data = json.dumps(document(results, effort), indent=1) + "\n"
    (FOLDER / "results" / "large.json").write_text(data, encoding="utf-8")
    (FOLDER / "LARGE.md").write_text(page(results, effort), encoding="utf-8")


@click.command()
@click.option("--effort", default="balanced", show_default=True)
@click.option("--limit", default=900.0, show_default=True, help="Seconds a row may take in all.")
@click.option("--only", multiple=True, metavar="WORKLOAD", help="These rows; nothing is written.")
def main(effort: str, limit: float, only: tuple[str, ...]) -> None:
    """Compile large workloads for trn2, a process each, and judge every figure."""
    known = [r.workload for r in ROWS]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise click.UsageError(f"no row {', '.join(unknown)}; rows are {', '.join(known)}")
    results: list[Result] = []
    for row in ROWS:
        if not only or row.workload in only:
            results.append(run(row, effort, limit))
            _show(results[-1])
    if only:
        click.echo(page(results, effort))
    else:
        _write(results, effort)
    sys.exit(0 if all(c.met for r in results for c in checks(r, results)) else 1)


if __name__ == "__main__":
    main()
