"""Fenced blocks of Markdown pages, and how each kind is run.

``python`` blocks of a page run one after the other in one namespace, as a reader would; one with a
title is written to the file of that name. Lines of ``console`` blocks that start with "$ " are
commands of nkigen-cp and have to succeed. ``sh`` blocks change the reader's machine and are not
run: ``test_blocks`` holds them against what the project has. ``text`` is what a command printed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from nkigen_cp.cli.main import main

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, the file it is, if any, its text and first line."""

    language: str
    title: str
    text: str
    line: int


def pages() -> list[Path]:
    """README and every page of the site."""
    site = sorted(p for p in (ROOT / "docs").rglob("*.md") if "dev" not in p.parts)
    return [ROOT / "README.md", *site]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(content):
        line = content[: match.start(3)].count("\n")
        yield Block(language=match[1], title=match[2] or "", text=match[3], line=line + 1)


def run(page: Path) -> None:
    """Run a page in the working directory."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # As many lines before it as on the page: a traceback names the page's own line.
            padded = "\n" * (block.line - 1) + block.text
            exec(compile(padded, str(page), "exec"), namespace)
        elif block.language == "console":
            for command in _commands(block.text):
                result = CliRunner().invoke(main, command)
                assert result.exit_code == 0, f"{page}:{block.line}: {command}: {result.output}"


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:], comments=True)
            assert program == "nkigen-cp", line
            yield arguments
