"""The commands from end to end, on programs small enough to solve at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import nkigen_cp as cp
from nkigen_cp.cli.main import main
from nkigen_cp.errors import NkigenError

PROGRAM = """
import numpy as np

def scale(x, w):
    return np.exp(x) * w

def bad(x):
    return np.linalg.svd(x)
"""
ARGS = ("--arg", "x:128x64:f32", "--arg", "w:64:f32")


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)
    return str(path)


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def test_compile_writes_plan_report_and_source(program: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _run("compile", f"{program}:scale", *ARGS, "--effort", "fast", "-o", str(out))
    assert result.exit_code == 0, result.stderr
    assert sorted(p.name for p in out.iterdir()) == ["plan.json", "report.txt", "scale.py"]
    assert json.loads((out / "plan.json").read_text())
    assert (out / "report.txt").read_text().strip()
    source = (out / "scale.py").read_text()
    compile(source, "scale.py", "exec")
    assert "@nki.jit" in source
    assert "wrote" in result.stdout


def test_compile_is_reproducible(program: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        command = ("compile", f"{program}:scale", *ARGS, "--effort", "fast")
        assert _run(*command, "-o", str(tmp_path / name)).exit_code == 0
    for file in ("plan.json", "report.txt", "scale.py"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_simulate_agrees_with_numpy(program: str) -> None:
    result = _run("simulate", f"{program}:scale", *ARGS, "--effort", "fast", "--seed", "7")
    assert result.exit_code == 0, result.stderr
    assert "ok" in result.stdout


def test_simulate_reports_a_mismatch(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(kernel: object, *args: Any) -> Any:
        return np.zeros_like(args[0])

    monkeypatch.setattr(cp, "simulate", wrong)
    result = _run("simulate", f"{program}:scale", *ARGS, "--effort", "fast")
    assert result.exit_code == 3
    assert "MISMATCH" in result.stdout


def test_errors_are_one_line_and_leave_nothing_behind(program: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _run("compile", f"{program}:bad", "--arg", "x:8x8:f32", "-o", str(out))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "svd" in result.stderr
    assert not out.exists()


def test_debug_shows_the_traceback(program: str, tmp_path: Path) -> None:
    command = ("compile", f"{program}:missing", "--debug", "-o", str(tmp_path))
    result = _run(*command)
    assert isinstance(result.exception, NkigenError)


@pytest.mark.parametrize("target", ["trn9", "{}"])
def test_unknown_target(program: str, tmp_path: Path, target: str) -> None:
    (tmp_path / "chip.json").write_text("{}")
    chosen = target.format(tmp_path / "chip.json")
    command = ("compile", f"{program}:scale", *ARGS, "--target", chosen, "-o", str(tmp_path / "o"))
    result = _run(*command)
    assert result.exit_code == 1
    assert chosen in result.stderr


@pytest.mark.parametrize("args", [("compile",), ("nothing",), ("simulate", "--effort", "huge")])
def test_wrong_usage(args: tuple[str, ...]) -> None:
    assert _run(*args).exit_code == 2


def test_targets_table() -> None:
    result = _run("targets")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("trn1", "trn2", "trn3", "2.40 GHz"))


@pytest.mark.slow
def test_explain_prints_text_or_json_or_writes_a_page(program: str, tmp_path: Path) -> None:
    command = ("explain", f"{program}:scale", *ARGS, "--effort", "fast")
    shown = _run(*command)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("kernel    scale on trn2\n")
    page = tmp_path / "scale.html"
    written = _run(*command, "--html", str(page))
    assert written.stdout == f"wrote {page}\n"
    assert page.read_text().startswith("<!doctype html>")
    record = json.loads(_run(*command, "--json").stdout)
    assert f"{record['summary']['latency_ns']:,} ns on the engine timeline" in shown.stdout


def test_explain_takes_a_plan_file(program: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run("compile", f"{program}:scale", *ARGS, "--effort", "fast", "-o", str(out)).stdout
    shown = _run("explain", str(out / "plan.json"))
    assert shown.stdout == (out / "report.txt").read_text()
    wrong = _run("explain", str(out / "plan.json"), *ARGS)
    assert wrong.exit_code == 1
    assert "leave out --arg" in wrong.stderr


def test_explain_writes_pages_only_as_html(program: str) -> None:
    wrong = _run("explain", f"{program}:scale", *ARGS, "--html", "a.pdf")
    assert wrong.exit_code == 1
    assert "must end in .html" in wrong.stderr


def test_demo_agrees_with_numpy(tmp_path: Path) -> None:
    result = _run("demo", "--effort", "fast", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "the kernel agrees with numpy" in result.stdout
    assert (tmp_path / "qwen3emb_layer.py").exists()


def test_json_of_every_command(program: str, tmp_path: Path) -> None:
    """One JSON value on stdout and nothing else."""
    fast = ("--effort", "fast", "--json")
    commands = (
        ("compile", f"{program}:scale", *ARGS, "-o", str(tmp_path / "out"), *fast),
        ("simulate", f"{program}:scale", *ARGS, *fast),
        ("targets", "--json"),
        ("ops", "--json"),
    )
    compiled, simulated, targets, ops = (json.loads(_run(*c).stdout) for c in commands)
    assert compiled["figures"]["latency_ns"] >= compiled["figures"]["roofline_ns"]
    assert [Path(p).name for p in compiled["files"]] == ["plan.json", "report.txt", "scale.py"]
    assert simulated["differences"][0]["relative"] <= simulated["differences"][0]["tolerance"]
    assert targets["trn2"]["partitions"] == 128
    assert any(f["name"] == "np.matmul" for f in ops)
