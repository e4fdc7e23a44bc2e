"""Every code block of README and of the site runs; pages made from tables are current."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import nkigen_cp as cp
from nkigen_cp.report.targets import targets_markdown
from tests.docs.blocks import ROOT, blocks, pages, run

LANGUAGES = {"python", "console", "sh", "text"}
RUNNABLE = [p for p in pages() if any(b.language in ("python", "console") for b in blocks(p))]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("model", None)  # model.py of one page is not that of another
    run(page)
    sys.modules.pop("model", None)


def test_blocks_say_what_they_are() -> None:
    unknown = [
        f"{p.name}:{b.line}" for p in pages() for b in blocks(p) if b.language not in LANGUAGES
    ]
    assert not unknown


def test_nothing_to_run_hides_in_indented_blocks() -> None:
    hidden = [
        p.name for p in pages() if re.search(r"^    (nkigen-cp|pip|make) ", p.read_text(), re.M)
    ]
    assert not hidden


def test_shell_blocks_name_what_the_project_has() -> None:
    shell = "\n".join(b.text for p in pages() for b in blocks(p) if b.language == "sh")
    makefile, project = (ROOT / n for n in ("Makefile", "pyproject.toml"))
    for target in re.findall(r"^make ([\w-]+)", shell, re.M):
        assert re.search(rf"^{target}:", makefile.read_text(), re.M), target
    for extra in re.findall(r"\.\[(\w+)\]", shell):
        assert re.search(rf"^{extra} = \[", project.read_text(), re.M), extra
    assert set(re.findall(r"^\w+", shell, re.M)) <= {"pip", "make", "git", "cd", "eval", "python"}


def test_the_page_of_targets_is_current() -> None:
    """If this fails: ``nkigen-cp targets --markdown > docs/targets.md``."""
    assert (ROOT / "docs" / "targets.md").read_text(encoding="utf-8") == targets_markdown()


def test_everything_public_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    public = [getattr(cp, name) for name in cp.__all__]
    own = [v for v in public if callable(v) and v.__module__ != "nkigen_cp.errors"]
    missing = [v.__name__ for v in own if f"::: nkigen_cp.{v.__name__}\n" not in page]
    assert own
    assert not missing


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in pages()[1:]:
        assert str(page.relative_to(ROOT / "docs")) in menu, page
