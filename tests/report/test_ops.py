"""The page of what kernels may use is the one that the tables make."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from nkigen_cp.cli.main import main
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.report.ops import functions, lowered, ops_markdown

PAGE = Path(__file__).parents[2] / "docs" / "ops.md"


def test_the_page_is_current() -> None:
    """If this fails: ``nkigen-cp ops --markdown > docs/ops.md``."""
    assert PAGE.read_text(encoding="utf-8") == ops_markdown()


def test_every_op_has_a_type_and_instructions() -> None:
    entries = list(lowered())
    assert [e.row.name for e in entries] == list(OPS)
    assert all(e.dtypes and e.instructions for e in entries)


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
