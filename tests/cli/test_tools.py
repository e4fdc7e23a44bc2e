"""diff, bench, doctor and completion, on programs small enough to solve at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner, Result

import nkigen_cp as cp
from nkigen_cp.cli import doctor
from nkigen_cp.cli.completion import PROGRAM, SHELLS, VARIABLE
from nkigen_cp.cli.main import main

PROGRAM_TEXT = """
import numpy as np

def scale(x, w):
    return np.exp(x) * w
"""


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def scale(x: Any, w: Any) -> Any:
    scaled = x * w
    return scaled + x


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Plans of one program, the second with another engine for one op."""
    folder = tmp_path_factory.mktemp("plans")
    graph = cp.trace(scale, cp.spec((256, 64), "float32"), cp.spec((64,), "float32"))
    cp.solve(graph, effort="fast", pins=[cp.pin("scaled", engine="vector")]).save(folder / "a.json")
    cp.solve(graph, effort="fast", pins=[cp.pin("scaled", engine="gpsimd")]).save(folder / "b.json")
    return str(folder / "a.json"), str(folder / "b.json")


def test_diff_names_decisions_in_the_users_words(plans: tuple[str, str]) -> None:
    result = _run("diff", *plans, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    engines = [d for d in found["difference"]["decisions"] if d["what"] == "engine"]
    assert {"subject": "scaled", "what": "engine", "before": "vector", "after": "gpsimd"} in engines
    (pins,) = found["difference"]["settings"]
    assert (pins["before"], pins["after"]) == ("scaled.engine=vector", "scaled.engine=gpsimd")
    numbers = {n["name"]: n for n in found["difference"]["numbers"]}
    for side, path in zip(("before", "after"), plans, strict=True):
        plan = cp.Plan.load(path)
        assert numbers["objective"][side] == plan.objective_ns
        assert numbers["modelled latency"][side] == plan.report_data.summary.latency_ns
        assert numbers["gpsimd busy"][side] == plan.data.busy_ns["gpsimd"]
    shown = _run("diff", *plans).stdout
    assert "gpsimd" in shown
    assert "modelled latency" in shown


def test_a_plan_does_not_differ_from_itself(plans: tuple[str, str]) -> None:
    result = _run("diff", plans[0], plans[0], "--max-slowdown", "0")
    assert result.exit_code == 0
    assert "the decisions are the same" in result.stdout


def test_diff_fails_where_the_plan_got_slower(plans: tuple[str, str]) -> None:
    """GpSimd is the slower engine: one of the two directions is a slowdown."""
    codes = [_run("diff", *pair, "--max-slowdown", "0.1") for pair in (plans, plans[::-1])]
    assert sorted(r.exit_code for r in codes) == [0, 3]
    assert "allowed is 0.1 %" in next(r.stderr for r in codes if r.exit_code)


def test_bench_times_every_stage(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(PROGRAM_TEXT)
    arrays = ("--arg", "x:128x64:f32", "--arg", "w:64:f32", "--effort", "fast")
    command = ("bench", f"{tmp_path / 'model.py'}:scale", *arrays, "--repeat", "2")
    result = _run(*command, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    names = [s["name"] for s in found["stages"]]
    assert names == ["trace", "solve", "lower and verify", "emit", "count and estimate"]
    assert all(len(s["seconds"]) == 2 and min(s["seconds"]) > 0 for s in found["stages"])
    assert found["figures"]["latency_ns"] > 0
    shown = _run(*command).stdout
    assert "together" in shown
    assert "modelled latency" in shown


def test_doctor_finds_everything_fine() -> None:
    result = _run("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["fine"]
    what = {f["what"]: f["found"] for f in found["findings"]}
    assert what["nkigen-cp"] == cp.__version__
    assert what["CP-SAT"] == "solves"
    assert "LNC 1" in what["cores"]
    assert "Neuron toolchain" in _run("doctor").stdout


def test_doctor_fails_where_a_dependency_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NEEDED", ("no-such-package",))
    result = _run("doctor")
    assert result.exit_code == 1
    assert "BROKEN" in result.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_the_script_of_a_shell(shell: str) -> None:
    result = _run("completion", shell)
    assert result.exit_code == 0, result.output
    assert f"{VARIABLE}={shell}_complete" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nkigen-cp sens", ["sensitivity"]),
        ("nkigen-cp sweep --vary S=1 --targ", ["--target"]),
        ("nkigen-cp sweep --target trn", ["trn1", "trn2", "trn3"]),
        ("nkigen-cp compile --effort f", ["fast"]),
    ],
)
def test_what_the_script_asks_for_is_answered(
    words: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    kind = get_completion_class("bash")
    assert kind is not None
    answers = kind(main, {}, PROGRAM, VARIABLE).complete()
    assert [line.split(",")[1] for line in answers.splitlines()] == expected
