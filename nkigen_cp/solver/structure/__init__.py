"""Loop structures: which cuts and loops a plan has, before layouts are chosen inside them."""

from nkigen_cp.solver.structure.values import Structure as Structure
from nkigen_cp.solver.structure.values import structured as structured
