"""Report files: what they are is told by their suffix."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from nkigen_cp.errors import ArgumentError
from nkigen_cp.report.html import render_html
from nkigen_cp.report.model import Report
from nkigen_cp.report.record import render_json
from nkigen_cp.report.text import render_text

RENDERED: Mapping[str, Callable[[Report], str]] = {
    ".html": render_html,
    ".json": render_json,
    ".txt": render_text,
}
"""What a file of each suffix holds."""


def write_report(report: Report, path: Path) -> None:
    """Write a report through a temporary file, so that nothing is ever half there.

    Raises:
        ArgumentError: the suffix says nothing, or the file cannot be written.
    """
    render = RENDERED.get(path.suffix)
    if render is None:
        known = ", ".join(RENDERED)
        raise ArgumentError(f"report {str(path)!r}: its suffix must be one of {known}")
    text = render(report)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as staging:
            made = Path(staging, path.name)
            made.write_text(text, encoding="utf-8")
            os.replace(made, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArgumentError(f"report {str(path)!r} cannot be written: {reason}") from error
