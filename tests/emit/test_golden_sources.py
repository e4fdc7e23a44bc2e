"""The emitted source of every benchmark row, as it was when last looked at.

``tests/nkicheck_golden.py`` runs the golden files under the independent checker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nkigen_cp as cp
from benchmarks.program import solve, trace
from benchmarks.rows import ROWS, Row

EFFORT = "balanced"  # what the benchmark measures; "fast" has the tighter wall-clock stop
SOURCES = Path(__file__).resolve().parents[1] / "golden" / "sources"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.workload)
def test_source_is_the_golden_one(row: Row, golden: Callable[[str, str], None]) -> None:
    plan = solve(row, trace(row), EFFORT)
    assert plan.deterministic, "the search was cut short by the clock, so the source may differ"
    golden(f"sources/{row.workload}.py", cp.emit_nki(cp.lower(plan)))


def test_every_golden_source_has_its_row() -> None:
    """A file whose row is gone would never be compared again."""
    assert sorted(p.stem for p in SOURCES.glob("*.py")) == sorted(r.workload for r in ROWS)
