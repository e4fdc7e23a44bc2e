"""What pins rule out of an instance, and whether decisions obey them."""

from __future__ import annotations

from nkigen_cp.solver.pins.rulings import Ruling, hopeless, obeys, rulings_of
from nkigen_cp.solver.pins.satisfied import Judge, judges_of

__all__ = ["Judge", "Ruling", "hopeless", "judges_of", "obeys", "rulings_of"]
