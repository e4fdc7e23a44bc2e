"""Running NKI IR on the CPU: the functional simulator and the counts of what it executes."""

from __future__ import annotations

from nkigen_cp.simulate.count import Counts, count
from nkigen_cp.simulate.run import Run, Watched, run

__all__ = ["Counts", "Run", "Watched", "count", "run"]
