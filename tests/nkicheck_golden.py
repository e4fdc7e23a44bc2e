"""Run every golden source under the independent checker ``../shared/nkicheck``.

    python tests/nkicheck_golden.py

Each has to pass its lint, break no rule of the hardware, give the float64 program's results within
the limits of ``benchmarks/rows.py``, and execute exactly what ``cp.count`` says. Prints a table;
exit code 1 if a source fails. Prints SKIPPED where the checker is not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a script, only tests/ would be importable.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nkigen_cp as cp
from benchmarks import nkicheck
from benchmarks.program import reference, solve, trace
from benchmarks.rows import ROWS, Row
from tests.emit.test_golden_sources import EFFORT, SOURCES


def judge(row: Row) -> nkicheck.Verdict:
    """The checker's verdict on the row's golden source."""
    path = SOURCES / f"{row.workload}.py"
    if not path.exists():
        return nkicheck.Verdict(problems=(f"{path} is missing; pytest --update-golden writes it",))
    source = path.read_text(encoding="utf-8")
    graph = trace(row)
    kernel = cp.lower(solve(row, graph, EFFORT))
    if cp.emit_nki(kernel) != source:
        return nkicheck.Verdict(problems=("is not what the compiler emits; run make test",))
    return nkicheck.check(source, kernel, reference(row, graph))


def main() -> int:
    """Judge every row; the exit code."""
    if not nkicheck.CHECKER.exists():
        print(f"SKIPPED: nkicheck of the golden sources ({nkicheck.CHECKER} is not there)")
        return 0
    failed = 0
    print(f"{'golden source':36} {'error':>8} {'instructions':>12} {'HBM bytes':>12}  verdict")
    for row in ROWS:
        found = judge(row)
        failed += not found.ok
        error = max(found.errors, default=float("nan"))
        verdict = "ok" if found.ok else f"FAILED: {'; '.join(found.problems)}"
        print(
            f"{row.workload:36} {error:8.1e} {found.instructions:12,} {found.hbm_bytes:12,}  "
            f"{verdict}",
            flush=True,
        )
    print(f"{len(ROWS) - failed} of {len(ROWS)} golden sources are clean under nkicheck")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
