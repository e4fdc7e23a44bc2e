"""Every example runs as a program, and its kernel agrees with numpy."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "show")
SLOW = ("qwen3_layer",)


def test_the_promised_examples_are_there() -> None:
    promised = "conv_stem flash_attention gated_mlp kv_cache_decode moe_layer qwen3_layer rmsnorm"
    assert [*promised.split(), "softmax"] == EXAMPLES


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in EXAMPLES]
)
def test_example(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "us modelled" in printed
    assert "of the largest value, against numpy in float64" in printed
