"""(program, plan) -> report."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.factor.program import FactorTensor, Program
from nkigen_cp.ir.tensor.compulsory import read_bytes
from nkigen_cp.report.model import ConversionLine, FormLine, Report, Summary, TensorLine
from nkigen_cp.report.steps import step_line
from nkigen_cp.report.wording import free_text, in_order, layout_text
from nkigen_cp.solver.pack import peak_bytes
from nkigen_cp.solver.plan import (
    Form,
    PlanData,
    Reinterpret,
    Replicate,
    Step,
    Store,
    Transpose,
)
from nkigen_cp.solver.traffic import moved_bytes

_CONVERTS: Mapping[type, str] = {
    Transpose: "transpose",
    Replicate: "replicate",
    Reinterpret: "reinterpret in HBM",
}


def build_report(program: Program, plan: PlanData) -> Report:
    """The report of a plan; ``program`` must be the one the plan was made for."""
    forms = {f.name: f for f in plan.forms}
    return Report(
        summary=_summary(program, plan, forms),
        steps=tuple(step_line(program, forms, s) for s in plan.steps),
        tensors=tuple(
            _tensor(program, t, plan) for t in program.tensors.values() if t.name in plan.residency
        ),
        conversions=tuple(c for s in plan.steps if (c := _conversion(program, forms, s))),
    )


def _needed_bytes(program: Program, name: str) -> int:
    """Bytes of an input or output that cross the border in any case."""
    if name in program.inputs:
        return read_bytes(program.graph, name)
    return program.tensors[name].size_bytes


def _summary(program: Program, plan: PlanData, forms: Mapping[str, Form]) -> Summary:
    bound = [c for c in program.constants if any(f.layout is None for f in _of(c, plan))]
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
        busy_ns=in_order(plan.busy_ns),
        limiting=max(in_order(plan.busy_ns), key=plan.busy_ns.__getitem__),
        hbm_bytes=moved_bytes(program, plan),
        hbm_bytes_min=sum(_needed_bytes(program, n) for n in crossing),
        sbuf_peak_bytes=peak_bytes(plan.steps, plan.forms),
        options=plan.options,
    )


def _of(tensor: str, plan: PlanData) -> list[Form]:
    return [f for f in plan.forms if f.tensor == tensor]


def _part_text(program: Program, tensor: FactorTensor) -> str:
    """``w[:, 1024:2048]``, in the user's dims."""
    window = program.windows.get(tensor.name) or program.pieces.get(tensor.name)
    if window is None:
        return ""
    whole = program.tensors[window.base].shape
    dims = zip(window.offsets, tensor.shape, whole, strict=True)
    ranges = [":" if n == size else f"{o}:{o + n}" for o, n, size in dims]
    return f"{window.base}[{', '.join(ranges)}]"


def _tensor(program: Program, tensor: FactorTensor, plan: PlanData) -> TensorLine:
    return TensorLine(
        name=tensor.name,
        shape=tensor.shape,
        dtype=str(tensor.dtype),
        residency=plan.residency[tensor.name],
        part_of=_part_text(program, tensor),
        forms=tuple(_form(tensor, f) for f in _of(tensor.name, plan)),
    )


def _form(tensor: FactorTensor, form: Form) -> FormLine:
    return FormLine(
        memory="HBM" if form.layout is None else "SBUF",
        partitions=layout_text(tensor, form.layout) if form.layout else "",
        free=free_text(tensor, form.layout) if form.layout else "",
        bytes=form.partition_bytes,
        first_step=form.first_step,
        last_step=form.last_step,
        address=form.address,
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
