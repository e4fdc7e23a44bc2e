"""HBM bytes that a plan moves."""

from __future__ import annotations

import math

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.homes import tile_of
from nkigen_cp.solver.plan import Contract, Form, Load, PlanData, Step, Store


def moved_bytes(program: Program, plan: PlanData) -> int:
    """Bytes of all loads, streams and stores, iterations included."""
    forms = {f.name: f for f in plan.forms}
    return sum(_step_bytes(program, forms, s) * program.trips(s.path) for s in plan.steps)


def _step_bytes(program: Program, forms: dict[str, Form], step: Step) -> int:
    spec = step.spec
    if isinstance(spec, Load):
        layout = forms[step.writes[0].form].layout
        assert layout is not None
        tile = tile_of(program.tensors[spec.tensor], layout)
        return math.prod(f.size for f in tile.factors) * tile.dtype.size_bytes
    if isinstance(spec, Store):
        size = program.tensors[spec.target.tensor].dtype.size_bytes
        return math.prod(spec.digits.values()) * size
    if isinstance(spec, Contract) and spec.stream is not None:
        use = next(u for u in step.reads if u.slot == spec.stream.slot)
        return program.tensors[forms[use.form].tensor].size_bytes
    return 0
