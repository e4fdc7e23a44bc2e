"""The benchmark of large programs tells misses, failures and stops apart, and hides none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.large import process
from benchmarks.large.checks import checks
from benchmarks.large.page import document, page
from benchmarks.large.phases import PHASES
from benchmarks.large.process import Result, collect
from benchmarks.large.rows import ROWS, Row
from nkigen_cp.workloads import WORKLOADS

ROW = Row(workload="rmsnorm", traffic=1.05, slowdown=2.0, numeric=True)
GOOD: Mapping[str, Any] = {
    "hbm_bytes": 1040,
    "compulsory_bytes": 1000,
    "roofline_ns": 100.0,
    "latency_ns": 190.0,
    "objective_ns": 180,
    "gap": 0.1,
    "lines": 300,
    "errors": [1e-6, 3e-6],
    "error_limits": [1e-5, 1e-5],
    "verdict": "clean",
}


def result(row: Row = ROW, *, solve: float = 59.0, **figures: Any) -> Result:
    return Result(
        row=row,
        seconds={"solve": solve, "lower": 1.9},
        figures={**GOOD, **figures},
        errors={},
        peak_bytes=1 << 30,
    )


def missed(found: Result, everything: list[Result] | None = None) -> list[str]:
    return [c.figure for c in checks(found, everything or [found]) if not c.met]


def test_a_row_within_its_limits_misses_nothing() -> None:
    assert missed(result()) == []
    assert "✗" not in page([result()], "fast")


@pytest.mark.parametrize(
    ("figure", "changed"),
    [
        ("traffic", {"hbm_bytes": 1051}),
        ("slowdown", {"latency_ns": 201.0}),
        ("disagreement", {"objective_ns": 161}),
        ("disagreement", {"latency_ns": 156.0}),
        ("gap", {"gap": 0.101}),
        ("solve", {"solve": 60.1}),
        ("error", {"errors": [1e-6, 1.1e-5]}),
        ("error", {"errors": [float("inf"), 1e-6]}),
        ("nkicheck", {"verdict": "lint: something"}),
    ],
)
def test_a_figure_beyond_its_limit_is_a_miss(figure: str, changed: dict[str, Any]) -> None:
    found = result(**changed)
    assert missed(found) == [figure]
    assert page([found], "fast").count("✗") == 1


def test_every_figure_that_is_missing_is_a_miss() -> None:
    bare = Result(row=ROW, seconds={}, figures={}, errors={"trace": "ShapeError: no"}, peak_bytes=0)
    assert missed(bare) == [c.figure for c in checks(bare, [bare])]
    assert len(missed(bare)) == 8
    assert "- rmsnorm, trace: ShapeError: no" in page([bare], "fast")


def test_the_seconds_of_a_phase_that_failed_are_no_success() -> None:
    assert missed(replace(result(), errors={"solve": "Infeasible: too large"})) == ["solve"]


def test_a_source_is_measured_against_that_of_another_row() -> None:
    long = result(replace(ROW, workload="softmax", lines={"rmsnorm": 1.2}), lines=361)
    short = replace(long, figures={**GOOD, "lines": 360})
    assert missed(long, [long, result()]) == ["lines / rmsnorm"]
    assert missed(short, [short, result()]) == []
    assert missed(short, [short]) == ["lines / rmsnorm"]


def test_lines_of_a_worker_amount_to_a_result() -> None:
    lines = [
        '{"begins": "trace"}\n',
        '{"phase": "trace", "seconds": 0.5, "peak_bytes": 7, "figures": {"ops": 3}}\n',
        '{"begins": "solve"}\n',
        '{"phase": "solve", "seconds": 2.0, "peak_bytes": 9, "error": "Infeasible: big"}\n',
        '{"begins": "lower"}\n',
        '{"phase": "lower", "secon',
    ]
    found = collect(ROW, lines, "stopped after 5 s")
    assert found.seconds == {"trace": 0.5, "solve": 2.0}
    assert found.figures == {"ops": 3}
    assert found.errors == {"solve": "Infeasible: big", "lower": "stopped after 5 s"}
    assert found.peak_bytes == 9
    assert "lower" not in collect(ROW, lines, "").errors


def test_a_row_is_stopped_at_its_limit_and_keeps_what_it_told() -> None:
    found = process.run(ROWS[0], "balanced", 0.01)
    assert list(found.errors.values()) == ["stopped after 0 s"]
    assert missed(found)


def test_a_process_that_dies_says_why() -> None:
    found = process.run(replace(ROW, workload="no such row"), "fast", 60.0)
    assert "ended with code 1" in found.errors["start"]


@pytest.mark.slow
def test_a_row_goes_through_all_phases() -> None:
    (row,) = (r for r in ROWS if r.workload == "matmul_257x1000x1030_f32")
    found = process.run(row, "fast", 300.0)
    assert found.errors == {}
    assert list(found.seconds) == [p.name for p in PHASES]
    assert set(GOOD) <= set(found.figures)
    json.dumps(document([found], "fast"))


def test_rows_name_workloads_and_each_other() -> None:
    names = [r.workload for r in ROWS]
    assert len(dict.fromkeys(names)) == len(names)
    assert all(name in WORKLOADS for name in names)
    assert all(other in names for r in ROWS for other in r.lines)
