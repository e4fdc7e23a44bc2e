"""Sweeps and sensitivities from end to end, on a program small enough to solve at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nkigen_cp.cli import plot, sweep
from nkigen_cp.cli.main import main
from nkigen_cp.cli.scaling import RESOURCES, scaled
from nkigen_cp.targets import TRN2

PROGRAM = """
import numpy as np

def scale(x, w):
    return np.exp(x) * w
"""


@pytest.fixture
def place(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)
    return f"{path}:scale"


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, [*args, "--effort", "fast"])


def _rows(*args: str) -> list[dict[str, Any]]:
    result = _run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


ARGS = ("--arg", "x:Sx64:f32", "--arg", "w:64:f32")


def test_sweep_compiles_every_combination(place: str) -> None:
    rows = _rows("sweep", place, *ARGS, "--vary", "S=128,512", "--vary", "target=trn2,trn3")
    values = [(r["values"]["S"], r["figures"]["target"]) for r in rows]
    assert values == [("128", "trn2"), ("128", "trn3"), ("512", "trn2"), ("512", "trn3")]
    bytes_moved = [r["figures"]["hbm_bytes"] for r in rows]
    assert bytes_moved == [4 * 64 * (2 * s + 1) for s in (128, 128, 512, 512)]
    assert rows[2]["figures"]["latency_ns"] > rows[0]["figures"]["latency_ns"]


def test_sweep_draws_its_table_and_plot(place: str, tmp_path: Path) -> None:
    picture = tmp_path / "x.svg"
    result = _run("sweep", place, *ARGS, "--vary", "S=128,512", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "512" in result.stdout
    assert "█" in result.stdout
    drawn = picture.read_text()
    assert "<svg" in drawn
    assert "S=512" in drawn


def test_plot_without_matplotlib_says_so_before_anything_is_solved(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    def solved(*args: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(plot.importlib, "import_module", missing)
    monkeypatch.setattr(sweep, "build", solved)
    result = _run("sweep", place, *ARGS, "--vary", "S=128", "--plot", "x.svg")
    assert result.exit_code == 1
    assert "pip install matplotlib" in result.stderr


def test_a_row_without_a_plan_says_why(place: str, tmp_path: Path) -> None:
    chip = Path(__file__).parents[2] / "nkigen_cp" / "targets" / "trn2.json"
    data = json.loads(chip.read_text())
    data["sbuf_partition_bytes"]["value"] = 8
    (tmp_path / "tiny.json").write_text(json.dumps(data))
    tiny = f"target=trn2,{tmp_path / 'tiny.json'}"
    good, bad = _rows("sweep", place, "--arg", "x:9x7:f32", "--arg", "w:7:f32", "--vary", tiny)
    assert good["figures"]
    assert bad["figures"] is None
    assert "SBUF" in bad["reason"]


def test_a_wrong_name_is_an_error_in_both_ways_of_printing(place: str) -> None:
    result = _run("sweep", place, *ARGS, "--vary", "S=1", "--vary", "targt=trn2", "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert json.loads(result.stdout)["error"] == "ArgumentError"


def test_less_of_a_chip_is_never_quicker(place: str) -> None:
    arrays = ("--arg", "x:256x1024:f32", "--arg", "w:1024:f32")
    rows = _rows("sensitivity", place, *arrays, "--factor", "0.5")
    change = {(r["resource"], r["factor"]): r["change"] for r in rows}
    assert change.pop(("as it is", 1.0)) == 0
    assert set(change) == {(r, 0.5) for r in RESOURCES}
    assert change["HBM bandwidth", 0.5] > 0.05
    assert all(c >= 0 for c in change.values())


@pytest.mark.parametrize("resource", RESOURCES)
def test_scaling_changes_one_resource(resource: str) -> None:
    assert scaled(TRN2, resource, 1.0) == TRN2
    assert scaled(TRN2, resource, 2.0) != TRN2
    assert scaled(scaled(TRN2, resource, 2.0), resource, 0.5) == TRN2
