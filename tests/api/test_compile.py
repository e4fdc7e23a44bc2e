"""compile, plan files, and what is the same from run to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.simulate.compare import relative_error
from tests.api.programs import arrays, attention, kernel, plan


def test_compile_gives_every_stage_and_can_be_called() -> None:
    compiled = cp.compile(attention, *arrays(), effort="fast")
    assert compiled.graph.name == "attention"
    assert compiled.plan.status in ("OPTIMAL", "FEASIBLE", "GREEDY")
    assert "def attention(" in compiled.source
    want = attention(*(a.astype(np.float64) for a in arrays()))
    assert relative_error(compiled(*arrays()), want) < 1e-4


def test_compile_takes_specs_and_another_target() -> None:
    specs = [cp.spec(a.shape, "float32") for a in arrays()]
    compiled = cp.compile(attention, *specs, target=cp.TRN1, effort="fast")
    assert compiled.kernel.target_name == "trn1"
    assert cp.first_difference(compiled.kernel, *arrays()) is None


def test_a_loaded_plan_lowers_to_the_same_source(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan().save(path)
    loaded = cp.Plan.load(path)
    assert loaded.to_json() == plan().to_json() == path.read_text()
    assert cp.emit_nki(cp.lower(loaded)) == cp.emit_nki(kernel())
    assert loaded.explain() == plan().explain()
    got = cp.simulate(cp.lower(loaded), *arrays())
    np.testing.assert_array_equal(got, cp.simulate(kernel(), *arrays()))


def heads_first(x: Any) -> Any:
    return np.transpose(x, (0, 2, 1, 3))


def test_a_loaded_plan_depends_on_no_alphabetical_order(tmp_path: Path) -> None:
    """Plan files sort their keys; the axes of this program are not sorted."""
    x = cp.spec((2, 128, 16, 128), "float32", axes=("z", "m", "c", "a"))
    made = cp.solve(cp.trace(heads_first, x), effort="fast")
    made.save(tmp_path / "plan.json")
    loaded = cp.Plan.load(tmp_path / "plan.json")
    assert cp.emit_nki(cp.lower(loaded)) == cp.emit_nki(cp.lower(made))


def test_solving_again_gives_the_same_bytes() -> None:
    again = cp.solve(cp.trace(attention, *arrays()), effort="fast")
    assert again.deterministic
    assert again.to_json() == plan().to_json()


def test_saving_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan().save(path)
    plan().save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_plan_files_are_plain_json() -> None:
    data = json.loads(plan().to_json())
    assert sorted(data) == ["graph", "is", "plan", "target"]
    assert data["plan"]["objective_ns"] == plan().objective_ns


def test_the_plan_states_bound_and_gap() -> None:
    made = plan()
    assert 0 < made.bound_ns <= made.objective_ns
    assert made.gap == (made.objective_ns - made.bound_ns) / made.objective_ns


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_progress_reports_a_first_plan_at_once(effort: str) -> None:
    seen: list[float] = []
    made = cp.solve(
        cp.trace(attention, *arrays()),
        effort=effort,
        on_progress=lambda p: seen.append(p.objective_ns),
    )
    assert seen
    assert seen[0] >= seen[-1] >= made.objective_ns - 1
