"""The page of what kernels may use is the one that the tables make."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from nkigen_cp.cli.main import main
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.report.ops import functions, ops_markdown

PAGE = Path(__file__).parents[2] / "docs" / "ops.md"


def test_the_page_is_current_and_complete() -> None:
    """If this fails: ``nkigen-cp ops --markdown > docs/ops.md``."""
    page = ops_markdown()
    assert PAGE.read_text(encoding="utf-8") == page
    lines = [line for line in page.split("## Ops")[1].splitlines() if line.startswith("| `")]
    entries = [line.split(" | ") for line in lines]
    assert [e[0].strip("|` ") for e in entries] == list(OPS)
    assert all(e[3].strip() and e[4].strip("| ") for e in entries)


def test_functions_are_listed_once_with_their_arguments() -> None:
    entries = {f.name: f for f in functions()}
    assert len(entries) == len(list(functions()))
    assert entries["np.matmul"].arguments == "x1, x2, dtype"
    assert entries["cp.ops.conv2d"].arguments.startswith("x, weight, bias, stride")
    assert entries["np.add.accumulate"].does


def test_command() -> None:
    result = CliRunner().invoke(main, ["ops"])
    assert result.exit_code == 0
    assert "np.matmul" in result.output
