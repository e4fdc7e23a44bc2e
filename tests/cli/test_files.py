from __future__ import annotations

from pathlib import Path

import pytest

from nkigen_cp.cli.files import text, write_files
from nkigen_cp.errors import ArgumentError, PlanError


def test_writes_into_a_new_directory(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "a" / "b", {"x.txt": text("é\n"), "y.txt": text("")})
    assert [p.name for p in paths] == ["x.txt", "y.txt"]
    assert paths[0].read_text(encoding="utf-8") == "é\n"
    assert sorted(p.name for p in paths[0].parent.iterdir()) == ["x.txt", "y.txt"]


def test_replaces_only_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("old")
    (tmp_path / "other").write_text("kept")
    write_files(tmp_path, {"x.txt": text("new")})
    assert (tmp_path / "x.txt").read_text() == "new"
    assert (tmp_path / "other").read_text() == "kept"


def test_a_failing_writer_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise PlanError("no")

    with pytest.raises(PlanError):
        write_files(tmp_path, {"x.txt": text("new"), "y.txt": fail})
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.txt", "old")]


def test_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="file: cannot be written"):
        write_files(tmp_path / "file", {"x.txt": text("")})
