"""Explanation of a plan: one report object, rendered as text, JSON and HTML."""

from __future__ import annotations

from nkigen_cp.report.build import build_report
from nkigen_cp.report.files import write_report
from nkigen_cp.report.html import render_html
from nkigen_cp.report.model import Report
from nkigen_cp.report.record import render_json
from nkigen_cp.report.text import render_text

__all__ = ["Report", "build_report", "render_html", "render_json", "render_text", "write_report"]
