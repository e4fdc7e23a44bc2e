"""Questions to a plan: what another decision would cost, or why it cannot be."""

from __future__ import annotations

from nkigen_cp.report.why.answer import Answer, Change, Figures
from nkigen_cp.report.why.ask import ask

__all__ = ["Answer", "Change", "Figures", "ask"]
