"""Decisions written down as the data of a plan."""

from __future__ import annotations

import hashlib

import ortools  # pyright: ignore[reportMissingTypeStubs]

from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.codec import dumps
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.files import graph_record
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.pack import pack
from nkigen_cp.solver.plan import (
    PLAN_VERSION,
    Contract,
    Elementwise,
    Form,
    Options,
    PlanData,
    Step,
)
from nkigen_cp.solver.search import Outcome
from nkigen_cp.solver.work import is_spill, work_in


def recorded(
    graph: Graph, instance: Instance, decisions: Decisions, outcome: Outcome, options: Options
) -> PlanData:
    """The plan data of decisions: steps, forms with addresses, and what they cost."""
    steps, forms = assemble(instance, decisions)
    packed = pack(steps, forms, instance.target.sbuf_partition_bytes)
    work = work_in(instance, steps)
    found = outcome.decisions is not None
    return PlanData(
        version=PLAN_VERSION,
        kernel=graph.name,
        graph_hash=hashlib.sha256(dumps(graph_record(graph)).encode()).hexdigest(),
        target=instance.target.name,
        options=options,
        solver=f"ortools {ortools.__version__}",
        status=outcome.status if found else "GREEDY",
        deterministic=outcome.deterministic,
        objective_ns=work.scaled_objective // SERIAL_SHARE,
        bound_ns=outcome.bound // SERIAL_SHARE,
        busy_ns=work.busy_ns,
        residency=_residency(steps, list(packed.forms)),
        forms=packed.forms,
        steps=tuple(steps),
    )


def _residency(steps: list[Step], forms: list[Form]) -> dict[str, str]:
    """Where each tensor lives: "streamed", "resident", "spilled"; "fused" ones have no form."""
    found: dict[str, str] = {}
    for form in forms:
        on_chip = form.layout is not None
        known = found.get(form.tensor)
        found[form.tensor] = "resident" if on_chip or known == "resident" else "hbm"
    for step in steps:
        cover = None
        if isinstance(step.spec, Elementwise):
            cover = step.spec.cover
        elif isinstance(step.spec, Contract):
            cover = step.spec.epilogue.cover
            if step.spec.stream is not None:
                streamed = next(u for u in step.reads if u.slot == step.spec.stream.slot)
                tensor = next(f.tensor for f in forms if f.name == streamed.form)
                if found[tensor] == "hbm":
                    found[tensor] = "streamed"
        if is_spill(step):
            found[step.name.removeprefix("spill.")] = "spilled"
        for tensor in cover.internal if cover is not None else ():
            found.setdefault(tensor, "fused")
    return dict(sorted(found.items()))
