"""Explanation of a plan: one report object, rendered as text."""

from __future__ import annotations

from nkigen_cp.report.text import explain_text

__all__ = ["explain_text"]
