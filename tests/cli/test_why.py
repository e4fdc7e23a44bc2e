"""Pins and questions on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import nkigen_cp as cp
from nkigen_cp.cli.main import main

PROGRAM = """
import numpy as np

def scale(x, w):
    logits = np.exp(x) * w
    return logits + x
"""
ARGS = ("--arg", "x:256x64:f32", "--arg", "w:64:f32", "--effort", "fast")


@pytest.fixture
def place(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)
    return f"{path}:scale"


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def test_a_question_is_answered(place: str) -> None:
    result = _run("why", place, "logits", "--residency", "spill", *ARGS)
    assert result.exit_code == 0, result.stderr
    assert "logits.residency=spill is possible." in result.stdout
    assert "stores logits" in result.stdout


def test_an_answer_as_json(place: str) -> None:
    result = _run("why", place, "logits", "--tile", "256", *ARGS, "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["question"] == "logits.tile=256"
    assert data["after"] is None
    assert data["conflicts"][0]["bound"] == cp.TRN2.partitions


def test_a_question_to_a_plan_file(place: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run("compile", place, *ARGS, "-o", str(out)).exit_code == 0
    result = _run("why", str(out / "plan.json"), "logits", "--partition", "d0")
    assert result.exit_code == 0, result.stderr
    assert "logits.partition=d0 is" in result.stdout


def test_pins_on_the_line_and_in_a_file(place: str, tmp_path: Path) -> None:
    cp.save_pins(tmp_path / "pins.json", [cp.pin("logits", residency="spill")])
    file, one = ("--pins", str(tmp_path / "pins.json")), ("--pin", "logits.tile=64")
    out = tmp_path / "out"
    result = _run("compile", place, *ARGS, *file, *one, "-o", str(out))
    assert result.exit_code == 0, result.stderr
    pins = cp.Plan.load(out / "plan.json").options.pins
    assert pins == (cp.pin("logits", residency="spill"), cp.pin("logits", tile=64))
    shown = _run("explain", place, *ARGS, *file)
    assert "stores logits" in shown.stdout


def test_what_is_wrong_is_said_in_one_line(place: str) -> None:
    result = _run("explain", place, *ARGS, "--pin", "logit.tile=64")
    assert result.exit_code == 1
    assert "did you mean 'logits'" in result.stderr
    result = _run("explain", place, *ARGS, "--pin", "logits.tile=256")
    assert result.exit_code == 1
    assert "spans at most 128 partitions" in result.stderr
