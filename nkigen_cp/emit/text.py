"""Layout of source lines: wrapped calls and comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

WIDTH = 100
INDENT = "    "
_KEYWORD = re.compile(r", (?=[a-z_]+=)")


def wrapped_call(head: str, arguments: Sequence[str], depth: int) -> list[str]:
    """Lines of ``head(arguments)``, filled to WIDTH and aligned after the parenthesis.

    An argument that is too long for a line breaks before its own keywords.
    """
    margin = INDENT * depth
    lines: list[str] = []
    current = f"{margin}{head}("
    aligned = " " * len(current)
    fresh = True
    for position, argument in enumerate(arguments):
        last = position == len(arguments) - 1
        piece = argument + (")" if last else ",")
        if not fresh and len(current) + 1 + len(piece) > WIDTH:
            lines.append(current)
            current, fresh = aligned, True
        current += piece if fresh else f" {piece}"
        fresh = False
        if len(current) > WIDTH:
            *broken, current = _broken(current)
            lines += broken
    return [*lines, current if arguments else f"{current})"]


def _broken(line: str) -> list[str]:
    """The line, broken before keywords of its innermost call as often as needed."""
    first, *rest = _KEYWORD.split(line)
    inner = " " * (first.rfind("(") + 1)
    lines = [first]
    for piece in rest:
        if len(lines[-1]) + len(piece) + 3 <= WIDTH:
            lines[-1] += f", {piece}"
        else:
            lines[-1] += ","
            lines.append(inner + piece)
    return lines


def plain(text: str) -> str:
    """Free text made safe for one comment or docstring line."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.replace("\\", "/").replace('"""', "'''").split())


def comment(text: str, depth: int) -> list[str]:
    """The text as comment lines, wrapped."""
    margin = f"{INDENT * depth}# "
    body = plain(text)
    return textwrap.wrap(
        body, width=WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    )


def with_note(lines: list[str], note: str, depth: int) -> list[str]:
    """The lines with a trailing comment, or with the comment above them if it does not fit."""
    text = plain(note)
    if not text:
        return lines
    if len(lines) == 1 and len(lines[0]) + len(text) + 4 <= WIDTH:
        return [f"{lines[0]}  # {text}"]
    return [*comment(text, depth), *lines]
