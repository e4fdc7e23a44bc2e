"""Plain text tables: aligned columns of bounded width, long cells wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 110
"""Longest line of a report."""

GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading and how many characters its cells may have; wider ones wrap."""

    title: str
    most: int
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The lines of the headings, then those of every row. Nothing is ever cut off."""
    cells = [[c.title for c in columns], *rows]
    widths = [min(c.most, max(len(row[k]) for row in cells)) for k, c in enumerate(columns)]
    return [_row(columns, widths, row) for row in cells]


def _row(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> list[str]:
    wrapped = [_wrap(text, w) for text, w in zip(row, widths, strict=True)]
    lines: list[str] = []
    for k in range(max(len(w) for w in wrapped)):
        parts = [
            _aligned(w[k] if k < len(w) else "", width, column)
            for w, width, column in zip(wrapped, widths, columns, strict=True)
        ]
        lines.append(GAP.join(parts).rstrip())
    return lines


def paragraph(text: str, indent: int) -> list[str]:
    """Wrapped lines of a text, all but the first indented two further."""
    lead = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=lead + GAP)


def _wrap(text: str, width: int) -> list[str]:
    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(text, max(1, width), subsequent_indent=lead, break_on_hyphens=False) or [
        ""
    ]


def _aligned(text: str, width: int, column: Column) -> str:
    return text.rjust(width) if column.right else text.ljust(width)
