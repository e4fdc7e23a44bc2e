"""Why no plan exists: minimal sets of demands and limits that contradict each other."""

from __future__ import annotations

from nkigen_cp.solver.infeasible.explain import explain

__all__ = ["explain"]
