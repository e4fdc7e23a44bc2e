"""One entry per tensor: where it lives, in which layouts, and which reader needs each of them."""

from __future__ import annotations

from collections.abc import Sequence

from nkigen_cp.ir.factor.program import FactorTensor, Program
from nkigen_cp.report.model import AxisLine, FormLine, StepLine, TensorLine
from nkigen_cp.report.wording import free_text, layout_text
from nkigen_cp.solver.pack import pack
from nkigen_cp.solver.plan import Form, PlanData
from nkigen_cp.solver.plan.layout import Layout, geometry


def tensor_lines(
    program: Program, plan: PlanData, steps: Sequence[StepLine]
) -> tuple[TensorLine, ...]:
    """All tensors that the plan gives a place; ``steps`` are the report's, by number."""
    forms: dict[str, list[Form]] = {}
    for form in plan.forms:
        forms.setdefault(form.tensor, []).append(form)
    drawn = _drawn_at(plan)
    known = [t for t in program.tensors.values() if t.name in plan.residency]
    return tuple(
        TensorLine(
            name=t.name,
            shape=t.shape,
            dtype=str(t.dtype),
            residency=plan.residency[t.name],
            part_of=_part_text(program, t),
            bytes=t.size_bytes,
            forms=tuple(
                _form(program, plan, f, drawn.get(f.name), steps) for f in forms.get(t.name, ())
            ),
        )
        for t in known
    )


def _part_text(program: Program, tensor: FactorTensor) -> str:
    """``w[:, 1024:2048]``, in the user's dims."""
    window = program.windows.get(tensor.name) or program.pieces.get(tensor.name)
    if window is None:
        return ""
    whole = program.tensors[window.base].shape
    dims = zip(window.offsets, tensor.shape, whole, strict=True)
    ranges = [":" if n == size else f"{o}:{o + n}" for o, n, size in dims]
    return f"{window.base}[{', '.join(ranges)}]"


def _drawn_at(plan: PlanData) -> dict[str, int]:
    """Addresses of forms on chip; those of a memory without end where the plan has none."""
    forms = plan.forms
    if any(f.address is None for f in forms if f.layout):
        everything = sum(f.partition_bytes for f in forms) + sum(s.sbuf_bytes for s in plan.steps)
        forms = pack(plan.steps, plan.forms, everything).forms
    return {f.name: f.address for f in forms if f.address is not None}


def _form(
    program: Program,
    plan: PlanData,
    form: Form,
    drawn_at: int | None,
    steps: Sequence[StepLine],
) -> FormLine:
    tensor = program.tensors[form.tensor]
    made = tuple(s.group for s in plan.steps if any(u.form == form.name for u in s.writes))
    read = tuple(s.group for s in plan.steps if any(u.form == form.name for u in s.reads))
    shape = geometry(tensor, form.layout) if form.layout else None
    return FormLine(
        memory="HBM" if form.layout is None else "SBUF",
        partitions=layout_text(tensor, form.layout) if form.layout else "",
        free=free_text(tensor, form.layout) if form.layout else "",
        bytes=form.partition_bytes,
        first_step=form.first_step,
        last_step=form.last_step,
        address=form.address,
        drawn_at=drawn_at,
        copies=form.copies,
        axes=_axes(tensor, form.layout),
        held_partitions=shape.partitions if shape else 0,
        chunks=shape.chunks if shape else 0,
        free_elements=shape.free_elements if shape else 0,
        made_by=made,
        read_by=read,
        why=_why(program, tensor, form, [steps[k] for k in read], [steps[k] for k in made]),
    )


def _axes(tensor: FactorTensor, layout: Layout | None) -> tuple[AxisLine, ...]:
    return tuple(
        AxisLine(name=f.name, size=f.size, role=role, tile=tile)
        for f in tensor.factors
        for role, tile in [_role(layout, f.name, f.size)]
    )


def _role(layout: Layout | None, name: str, size: int) -> tuple[str, int]:
    """What an axis is in a layout, and how much of it is there at a time."""
    if layout is None:
        return "hbm", size
    if name in layout.fixed_names:
        return "batch", 1
    if name not in layout.partition:
        return "free", size
    return "partition", layout.block if name == layout.partition[0] else size


def _why(
    program: Program,
    tensor: FactorTensor,
    form: Form,
    readers: Sequence[StepLine],
    makers: Sequence[StepLine],
) -> str:
    """Which readers need the form, in words."""
    if form.layout is None:
        return _why_in_hbm(program, tensor, readers)
    if not readers:
        return "nothing on chip reads it: it is written only to be stored"
    computing = [s for s in readers if s.ops]
    named = dict.fromkeys(s.ops[0].name for s in computing)
    if not named:
        return f"on its way: step {readers[0].number} {readers[0].moves}"
    text = f"needed so by {_some(list(named))}"
    if makers and makers[0].ops:
        return f"{text}; made so by {makers[0].ops[0].name}"
    return text


def _why_in_hbm(program: Program, tensor: FactorTensor, readers: Sequence[StepLine]) -> str:
    if tensor.name in program.inputs or tensor.name in program.constants:
        return "given in HBM"
    if program.leaves(tensor.name):
        return "returned in HBM" + (", and read again" if readers else "")
    return "part of an input" if tensor.name in program.windows else "stored to be read again"


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
