"""HBM bytes that a plan moves."""

from __future__ import annotations

import math

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.homes import tile_of
from nkigen_cp.solver.plan import (
    Contract,
    Exchange,
    Form,
    Gather,
    Load,
    PlanData,
    Reinterpret,
    Scatter,
    Step,
    Store,
)


def moved_bytes(program: Program, plan: PlanData) -> int:
    """Bytes of all loads, streams and stores of all iterations; copies inside HBM count twice."""
    return sum(step_bytes(program, plan).values())


def step_bytes(program: Program, plan: PlanData) -> dict[int, int]:
    """The same per step, by its number."""
    forms = {f.name: f for f in plan.forms}
    trips = {k.name: k.trips for k in plan.loops}
    return {
        s.group: _step_bytes(program, forms, s) * math.prod(trips[k] for k in s.path)
        for s in plan.steps
    }


def _step_bytes(program: Program, forms: dict[str, Form], step: Step) -> int:
    spec = step.spec
    if isinstance(spec, Load):
        layout = forms[step.writes[0].form].layout
        assert layout is not None
        tile = tile_of(program.tensors[spec.tensor], layout)
        return math.prod(f.size for f in tile.factors) * tile.dtype.size_bytes
    if isinstance(spec, Store):
        size = program.tensors[spec.source.tensor].dtype.size_bytes
        sides = 1 if forms[step.reads[0].form].layout else 2
        return sides * math.prod(spec.digits.values()) * size
    if isinstance(spec, (Reinterpret, Exchange, Gather, Scatter)):
        return _op_bytes(program, spec)
    if isinstance(spec, Contract) and spec.stream is not None:
        use = next(u for u in step.reads if u.slot == spec.stream.slot)
        return program.tensors[forms[use.form].tensor].size_bytes
    return 0


def _op_bytes(program: Program, spec: Reinterpret | Exchange | Gather | Scatter) -> int:
    op = program.ops[spec.op]
    tensor = program.tensors[op.output.tensor]
    moved = math.prod(d.size for d in op.digits) * tensor.dtype.size_bytes
    if isinstance(spec, Gather):
        return 0 if spec.by == "element" else moved
    if isinstance(spec, Exchange):
        return program.tensors[op.accesses[0].tensor].size_bytes + tensor.size_bytes
    if isinstance(spec, Scatter):
        copied = 2 * tensor.size_bytes if program.renewed(tensor.name) is None else 0
        return copied + moved
    view = program.graph.ops[spec.op]
    elements = math.prod(a.size for a in view.axes) if view.kind == "copy" else tensor.size
    return 2 * elements * tensor.dtype.size_bytes
