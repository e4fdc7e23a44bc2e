"""Compile the benchmark's workloads and hold what comes out against its limits.

    python -m benchmarks.compile_workloads [--table idioms] [--only rmsnorm --only softmax]

Writes the table's page and its file in benchmarks/results, and for the patterns the table in
README.md; exit code 1 if a limit is missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.markdown import document, page, summary
from benchmarks.measure import Measured, measure
from benchmarks.rows import ROWS, TABLES, Table

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: written by make bench -->\n", "<!-- end -->\n"


def _show(result: Measured) -> None:
    missed = [f"{c.figure} {c.measured} (limit {c.limit})" for c in result.checks if not c.met]
    figures = ", ".join(f"{c.figure} {c.measured}" for c in result.checks)
    click.echo(f"{result.row.workload:36} {'MISS: ' + '; '.join(missed) if missed else figures}")


def _write(table: Table, results: Sequence[Measured], effort: str) -> None:
    folder = ROOT / "benchmarks"
    data = json.dumps(document(results, effort), indent=1) + "\n"
    (folder / "results" / table.results).write_text(data, encoding="utf-8")
    (folder / table.page).write_text(page(table, results, effort), encoding="utf-8")
    if table.rows is not ROWS:
        return
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + summary(results) + END + after, encoding="utf-8")


@click.command()
@click.option("--effort", default="balanced", show_default=True)
@click.option("--table", "name", type=click.Choice([*TABLES]), default="patterns")
@click.option("--only", multiple=True, metavar="WORKLOAD", help="These rows; nothing is written.")
def main(effort: str, name: str, only: tuple[str, ...]) -> None:
    """Compile workloads for trn2 and compare every figure with its limit."""
    table = TABLES[name]
    known = [r.workload for r in table.rows]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise click.UsageError(f"no row {', '.join(unknown)}; rows are {', '.join(known)}")
    results: list[Measured] = []
    for row in table.rows:
        if not only or row.workload in only:
            results.append(measure(row, effort))
            _show(results[-1])
    if not only:
        _write(table, results, effort)
    sys.exit(0 if all(r.met for r in results) else 1)


if __name__ == "__main__":
    main()
