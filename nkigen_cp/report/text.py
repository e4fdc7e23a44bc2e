"""The report as plain text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from nkigen_cp.report.model import (
    AxisLine,
    ConversionLine,
    DecisionLine,
    FormLine,
    NestLine,
    OpLine,
    Report,
    StepLine,
    Summary,
    TensorLine,
    TransferLine,
)
from nkigen_cp.report.table import Column, paragraph, table

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
_NESTS = (
    Column(title="nest", most=24),
    Column(title="steps", most=9, right=True),
    Column(title="busy ns", most=52),
    Column(title="alone ns", most=13, right=True),
)
_TRANSFERS = (
    Column(title="step", most=4, right=True),
    Column(title="tensor", most=26),
    Column(title="how", most=11),
    Column(title="bytes", most=14, right=True),
    Column(title="row B", most=9, right=True),
    Column(title="full at", most=7, right=True),
    Column(title="ns", most=11, right=True),
    Column(title="rate", most=5, right=True),
)
_DECISIONS = (
    Column(title="step", most=4, right=True),
    Column(title="decision", most=34),
    Column(title="now", most=20),
    Column(title="otherwise", most=22),
    Column(title="change ns", most=12, right=True),
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


def render_text(report: Report) -> str:
    """A report as text, ending in a newline; no line is longer than 110 characters."""
    sections = [
        _summary(report.summary),
        ["nests; alone is what only the nest fills of the critical path", *_nests(report)],
        ["steps, in order of execution", *_steps(report.steps)],
        ["tensors", *_tensors(report.tensors)],
        ["transfers between HBM and SBUF", *_transfers(report.transfers)],
        ["conversions", *_conversions(report.conversions)],
        [
            "decisions: the runner-up, and what cannot be taken though it costs less",
            *_decisions(report.decisions),
        ],
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
        ("latency", f"{s.latency_ns:,} ns on the engine timeline, {s.instructions:,} instructions"),
        (
            "roofline",
            f"{s.roofline_ns:,} ns (HBM {s.hbm_bound_ns:,}, matmuls {s.engine_bound_ns:,})",
        ),
        ("objective", f"{s.objective_ns:,} ns of the solver's model"),
        ("proven", f"no plan of this model is below {s.bound_ns:,} ns (gap {100 * s.gap:.1f} %)"),
        ("busy ns", _busy(s.busy_ns)),
        ("limit", f"{s.limiting} ({s.busy_ns[s.limiting]:,} ns)"),
        ("", s.limited_by),
        ("HBM", f"{s.hbm_bytes:,} B moved, at least {s.hbm_bytes_min:,} B ({ratio:.3f} x)"),
        ("SBUF", f"{s.sbuf_peak_bytes:,} of {s.sbuf_bytes:,} B per partition at the fullest step"),
        ("told", f"matmul_precision={o.matmul_precision!r}, assume_masked={o.assume_masked}"),
        ("", _MASKED[o.assume_masked]),
    )
    return [line for k, v in rows for line in paragraph(f"{k:<9} {v}", 0)]


def _busy(busy: Mapping[str, int]) -> str:
    return ", ".join(f"{e} {ns:,}" for e, ns in busy.items() if ns)


def _nests(report: Report) -> list[str]:
    """One row per nest, its loops below; then the time in which nothing works, and the sum."""
    ends = [("idle", report.summary.idle_ns), ("together", report.summary.latency_ns)]
    rows = [_nest(n) for n in report.nests]
    rows += [(name, "", "", f"{ns:,}") for name, ns in ends]
    heads, *blocks = table(_NESTS, rows)
    out = heads
    for nest, lines in itertools.zip_longest(report.nests, blocks):
        out += lines
        out += _loops(nest) if nest is not None else []
    return out


def _nest(n: NestLine) -> tuple[str, ...]:
    steps = f"{n.steps[0]}-{n.steps[-1]}"
    return (n.label, steps, _busy(n.busy_ns), f"{n.exclusive_ns:,}")


def _loops(nest: NestLine) -> list[str]:
    lines = [
        f"loop {k.name}: {k.trips:,} times {k.block:,} of {k.axis or 'what is turned'}, "
        f"{k.copies} buffers"
        for k in nest.loops
    ]
    return [part for text in lines for part in paragraph(text, 2)]


def _transfers(transfers: Sequence[TransferLine]) -> list[str]:
    if not transfers:
        return ["none"]
    rows = [
        (str(t.step), t.tensor, t.direction, f"{t.bytes:,}", f"{t.row_bytes:,}",
         f"{t.full_row_bytes:,}", f"{t.busy_ns:,}", f"{100 * t.efficiency:.0f} %")
        for t in transfers
    ]  # fmt: skip
    return [line for lines in table(_TRANSFERS, rows) for line in lines]


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
        for form in tensor.forms:
            out += [*next(forms), *_reasons(form)]
    return out


def _reasons(form: FormLine) -> list[str]:
    """The roles of the axes, and why the form is there."""
    roles = ", ".join(_axis(a) for a in form.axes)
    texts = [f"axes: {roles}"] if roles and form.memory == "SBUF" else []
    return [line for text in (*texts, form.why) for line in paragraph(text, _INDENT)]


def _axis(a: AxisLine) -> str:
    size = f"{a.tile} of {a.size}" if a.tile != a.size else f"{a.size}"
    return f"{a.name} {a.role} {size}"


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


def _decisions(decisions: Sequence[DecisionLine]) -> list[str]:
    """One row each; below it what stands against it."""
    if not decisions:
        return ["none has an alternative"]
    rows = [
        (str(d.step), f"{d.what} of {d.subject}", d.now, d.other, _change(d)) for d in decisions
    ]
    heads, *blocks = table(_DECISIONS, rows)
    out = heads
    for decision, lines in zip(decisions, blocks, strict=True):
        out += lines
        out += paragraph(f"not possible: {decision.against}", _INDENT) if decision.against else []
    return out


def _change(d: DecisionLine) -> str:
    return "" if d.change_ns is None else f"{d.change_ns:+,}"
