"""The report as JSON: the fields of its values, under their own names."""

from __future__ import annotations

import dataclasses
import json

from nkigen_cp.report.model import Report


def render_json(report: Report) -> str:
    """A report as JSON text, ending in a newline; the same plan gives the same bytes."""
    found = dataclasses.asdict(report)
    found["summary"]["roofline_ns"] = report.summary.roofline_ns
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"
