"""The report as plain text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.report.build import build_report
from nkigen_cp.report.model import (
    ConversionLine,
    FormLine,
    OpLine,
    Report,
    StepLine,
    Summary,
    TensorLine,
)
from nkigen_cp.report.table import Column, paragraph, table
from nkigen_cp.solver.plan import PlanData

_STEPS = (
    Column(title="step", most=4, right=True),
    Column(title="instruction", most=24),
    Column(title="on the partitions", most=36),
    Column(title="busy ns", most=40),
)
_INDENT = 6  # below the instruction, behind the step's number
_TENSORS = (
    Column(title="tensor", most=34),
    Column(title="shape", most=20),
    Column(title="dtype", most=9),
    Column(title="lives", most=9),
    Column(title="", most=30),
)
_FORMS = (
    Column(title="  held", most=6),
    Column(title="on the partitions", most=28),
    Column(title="free", most=30),
    Column(title="B/partition", most=11, right=True),
    Column(title="steps", most=9, right=True),
    Column(title="address", most=8, right=True),
)
_CONVERSIONS = (
    Column(title="step", most=4, right=True),
    Column(title="tensor", most=26),
    Column(title="how", most=12),
    Column(title="from", most=20),
    Column(title="to", most=20),
    Column(title="ns", most=16, right=True),
)
_MASKED = {
    True: "blocks wholly under an additive mask of -10000 or less count as masked",
    False: "no block counts as masked",
}


def explain_text(program: Program, plan: PlanData) -> str:
    """The whole report; no line is longer than 110 characters."""
    return render(build_report(program, plan))


def render(report: Report) -> str:
    """A report as text, ending in a newline."""
    sections = [
        _summary(report.summary),
        ["steps, in order of execution", *_steps(report.steps)],
        ["tensors", *_tensors(report.tensors)],
        ["conversions", *_conversions(report.conversions)],
    ]
    return "\n\n".join("\n".join(s) for s in sections) + "\n"


def _summary(s: Summary) -> list[str]:
    o = s.options
    ratio = s.hbm_bytes / s.hbm_bytes_min if s.hbm_bytes_min else 1.0
    search = f"{s.solver}, effort {o.effort}, seed {o.seed}, {o.workers} workers"
    cut = "" if s.deterministic else "; cut short by the clock, so not reproducible"
    rows = (
        ("kernel", f"{s.kernel} on {s.target}"),
        ("status", f"{s.status} ({search}{cut})"),
        ("modelled", f"{s.objective_ns:,} ns"),
        ("proven", f"no plan of this model is below {s.bound_ns:,} ns (gap {100 * s.gap:.1f} %)"),
        ("busy ns", _busy(s.busy_ns)),
        ("limit", f"{s.limiting} ({s.busy_ns[s.limiting]:,} ns)"),
        ("HBM", f"{s.hbm_bytes:,} B moved, at least {s.hbm_bytes_min:,} B ({ratio:.3f} x)"),
        ("SBUF", f"{s.sbuf_peak_bytes:,} B per partition at the fullest step"),
        ("told", f"matmul_precision={o.matmul_precision!r}, assume_masked={o.assume_masked}"),
        ("", _MASKED[o.assume_masked]),
    )
    return [line for k, v in rows for line in paragraph(f"{k:<9} {v}", 0)]


def _busy(busy: Mapping[str, int]) -> str:
    return ", ".join(f"{e} {ns:,}" for e, ns in busy.items() if ns)


def _steps(steps: Sequence[StepLine]) -> list[str]:
    rows = [(str(s.number), s.instruction, s.partitions, _busy(s.busy_ns)) for s in steps]
    heads, *blocks = table(_STEPS, rows)
    out = heads
    for step, lines in zip(steps, blocks, strict=True):
        out += [*lines, *(part for text in _details(step) for part in paragraph(text, _INDENT))]
    return out


def _details(step: StepLine) -> list[str]:
    known = (
        ("computes", _ops(step.ops)),
        ("loops", step.loops),
        ("tiles", step.tiles),
        ("epilogue", step.epilogue),
        ("streams", step.streamed),
        ("own tiles", f"{step.sbuf_bytes:,} B per partition" if step.sbuf_bytes else ""),
    )
    moves = [step.moves] if step.moves else []
    return [*moves, *(f"{k}: {v}" for k, v in known if v)]


def _ops(ops: Sequence[OpLine]) -> str:
    """Names grouped by source line; the tensor written, where an op does not bear its name."""
    groups = itertools.groupby(ops, key=lambda o: o.where)
    parts: list[str] = []
    for where, group in groups:
        names = [o.name if o.name == o.tensor else f"{o.name} -> {o.tensor}" for o in group]
        parts.append(", ".join(names) + (f" ({where})" if where else ""))
    return ", ".join(parts)


def _tensors(tensors: Sequence[TensorLine]) -> list[str]:
    """Two aligned tables interleaved: one row per tensor, its forms below."""
    own = table(_TENSORS, [_tensor(t) for t in tensors])
    held = table(_FORMS, [_form(f) for t in tensors for f in t.forms])
    out, forms = [*own[0], *held[0]], iter(held[1:])
    for tensor, lines in zip(tensors, own[1:], strict=True):
        out += lines
        out += [line for _ in tensor.forms for line in next(forms)]
    return out


def _tensor(t: TensorLine) -> tuple[str, ...]:
    return (t.name, str(t.shape), t.dtype, t.residency, t.part_of)


def _form(form: FormLine) -> tuple[str, ...]:
    size = f"{form.bytes:,}" if form.memory == "SBUF" else ""
    steps = f"{form.first_step}-{form.last_step}"
    address = "" if form.address is None else f"{form.address:,}"
    return (f"  {form.memory}", form.partitions, form.free, size, steps, address)


def _conversions(conversions: Sequence[ConversionLine]) -> list[str]:
    if not conversions:
        return ["none"]
    rows = [
        (str(c.step), c.tensor, c.how, c.before, c.after, f"{c.price_ns:,}") for c in conversions
    ]
    return [line for lines in table(_CONVERSIONS, rows) for line in lines]
