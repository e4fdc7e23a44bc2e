"""(program, plan) -> report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.compulsory import read_bytes
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.report.bars import bars
from nkigen_cp.report.decisions import decision_lines
from nkigen_cp.report.model import Compute, ConversionLine, NestLine, Report, Summary
from nkigen_cp.report.nests import nest_lines
from nkigen_cp.report.steps import step_line
from nkigen_cp.report.tensors import tensor_lines
from nkigen_cp.report.timing import Timing, critical, exclusive, timed
from nkigen_cp.report.transfers import transfer_lines
from nkigen_cp.report.wording import in_order, layout_text
from nkigen_cp.solver.pack import peak_bytes, used_bytes
from nkigen_cp.solver.plan import (
    Form,
    PlanData,
    Reinterpret,
    Reorder,
    Replicate,
    Step,
    Store,
    Transpose,
)
from nkigen_cp.solver.traffic import moved_bytes
from nkigen_cp.targets.target import Target

_CONVERTS: Mapping[type, str] = {
    Transpose: "transpose",
    Replicate: "replicate",
    Reorder: "reorder",
    Reinterpret: "reinterpret in HBM",
}


def build_report(program: Program, plan: PlanData, graph: Graph, target: Target) -> Report:
    """The report of a plan for the traced ``graph``; ``program`` is the one it was made for."""
    forms = {f.name: f for f in plan.forms}
    timing = timed(program, plan, graph, target)
    exclusive_ns, idle_ns = exclusive(plan, critical(timing))
    steps = tuple(step_line(program, forms, s) for s in plan.steps)
    nests = nest_lines(program, plan, steps, timing, exclusive_ns)
    return Report(
        summary=_summary(program, plan, timing, target, nests, idle_ns),
        nests=nests,
        steps=steps,
        tensors=tensor_lines(program, plan, steps),
        transfers=transfer_lines(program, plan, timing.kernel, target),
        conversions=tuple(c for s in plan.steps if (c := _conversion(program, forms, s))),
        decisions=decision_lines(program, plan, graph, target),
        in_use_bytes=used_bytes(plan.steps, plan.forms),
        bars=bars(timing),
        compute=_compute(timing, target),
    )


def _needed_bytes(program: Program, name: str) -> int:
    """Bytes of an input or output that cross the border in any case."""
    if name in program.inputs:
        return read_bytes(program.graph, name)
    return program.tensors[name].size_bytes


def _summary(
    program: Program,
    plan: PlanData,
    timing: Timing,
    target: Target,
    nests: Sequence[NestLine],
    idle_ns: int,
) -> Summary:
    in_hbm = {f.tensor: None for f in plan.forms if f.layout is None}
    bound = [c for c in program.constants if c in in_hbm]
    crossing = (*program.inputs, *bound, *program.outputs)
    return Summary(
        kernel=plan.kernel,
        target=plan.target,
        solver=plan.solver,
        status=plan.status,
        deterministic=plan.deterministic,
        objective_ns=plan.objective_ns,
        bound_ns=plan.bound_ns,
        gap=plan.gap,
        latency_ns=timing.latency_ns,
        idle_ns=idle_ns,
        hbm_bound_ns=round(timing.estimate.hbm_bound_ns),
        engine_bound_ns=round(timing.estimate.engine_bound_ns),
        instructions=timing.estimate.instructions,
        busy_ns=in_order(plan.busy_ns),
        limiting=max(in_order(plan.busy_ns), key=plan.busy_ns.__getitem__),
        limited_by=_limited_by(plan, timing, nests, idle_ns),
        hbm_bytes=moved_bytes(program, plan),
        hbm_bytes_min=sum(_needed_bytes(program, n) for n in crossing),
        sbuf_peak_bytes=peak_bytes(plan.steps, plan.forms),
        sbuf_bytes=target.sbuf_partition_bytes,
        options=plan.options,
    )


def _limited_by(plan: PlanData, timing: Timing, nests: Sequence[NestLine], idle_ns: int) -> str:
    """The busiest engine, the heaviest nest, and how much of the latency nothing works."""
    latency = max(1, timing.latency_ns)
    busiest = max(in_order(plan.busy_ns), key=plan.busy_ns.__getitem__)
    share = f"{busiest} is busy {_percent(plan.busy_ns[busiest], latency)} of the latency"
    parts = [share]
    if len(nests) > 1:
        nest = max(nests, key=lambda n: n.exclusive_ns)
        parts.append(f"nest {nest.label} fills {_percent(nest.exclusive_ns, latency)} of it")
    parts.append(f"hand-offs and DMA latency alone take {_percent(idle_ns, latency)}")
    return "; ".join(parts)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def _compute(timing: Timing, target: Target) -> Compute:
    cells = target.contraction_max * target.stationary_free_max
    peak = 2 * cells * target.engines["tensor"].clock_ghz
    return Compute(
        operations=round(timing.estimate.engine_bound_ns * peak),
        peak=peak,
        hbm_bytes_per_ns=target.hbm_bytes_per_ns,
    )


def _conversion(program: Program, forms: Mapping[str, Form], step: Step) -> ConversionLine | None:
    """Moves on chip, opaque reshapes, and stores of what is no output."""
    how = _CONVERTS.get(type(step.spec), "")
    if isinstance(step.spec, Store) and step.spec.target.tensor not in program.outputs:
        how = "spill to HBM"
    if not how:
        return None
    before, after = forms[step.reads[0].form], forms[step.writes[0].form]
    return ConversionLine(
        step=step.group,
        tensor=after.tensor,
        how=how,
        before=layout_text(program.tensors[before.tensor], before.layout),
        after=layout_text(program.tensors[after.tensor], after.layout),
        busy_ns=in_order(step.busy_ns),
    )
