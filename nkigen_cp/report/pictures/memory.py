"""SBUF: which tensor has which addresses at which step, and how full it is."""

from __future__ import annotations

from nkigen_cp.report.model import FormLine, Report, TensorLine
from nkigen_cp.report.pictures.shapes import (
    Box,
    Line,
    Picture,
    Text,
    at,
    nest_kind,
    short_name,
    ticks,
)

WIDTH, LABEL, TALL, STRIP, GAP = 1120.0, 64.0, 320.0, 70.0, 26.0


def memory_picture(report: Report) -> Picture:
    """Addresses upwards, steps to the right; below it the bytes in use at every step."""
    s = report.summary
    across = (WIDTH - LABEL - 8) / max(1, len(report.steps))
    forms = [f for t in report.tensors for f in t.forms]
    ends = [f.drawn_at + f.bytes for f in forms if f.drawn_at is not None]
    most = max(s.sbuf_bytes, *ends, 0)
    up = TALL / most
    boxes = [*_nests(report, across), *_forms(report, across, up), *_loads(report, across)]
    marks = ticks(most / 1024, 6)
    texts = [Text(x=LABEL - 6, y=at(TALL - 1024 * t * up + 4), text=f"{t:,g} KiB", anchor="end",
                  kind="tick") for t in marks]  # fmt: skip
    texts.append(Text(x=LABEL - 6, y=TALL + GAP + STRIP, text="in use", anchor="end"))
    lines = [
        Line(path=f"M{LABEL} {at(TALL - 1024 * t * up)}H{WIDTH - 8}", kind="grid") for t in marks
    ]
    top = at(TALL - s.sbuf_bytes * up)
    lines.append(Line(path=f"M{LABEL} {top}H{WIDTH - 8}", kind="roof", title="all of SBUF"))
    for t in ticks(0.97 * len(report.steps), 12):
        x = at(LABEL + t * across)
        texts.append(Text(x=x, y=TALL + 16, text=f"step {t:,g}", kind="tick"))
    says = (
        f"Addresses of {sum(1 for b in boxes if b.tensor)} forms in {s.sbuf_bytes:,} bytes of "
        f"every partition; the fullest step uses {s.sbuf_peak_bytes:,}. The table of tensors has "
        "them all."
    )
    return Picture(width=WIDTH, height=TALL + GAP + STRIP + 4, says=says, boxes=tuple(boxes),
                   lines=tuple(lines), texts=tuple(texts))  # fmt: skip


def _nests(report: Report, across: float) -> list[Box]:
    """Behind everything, in which nest the steps are."""
    place = {n.name: k for k, n in enumerate(report.nests)}
    found: list[Box] = []
    start = 0
    for k, step in enumerate(report.steps):
        last = k + 1 == len(report.steps)
        if last or report.steps[k + 1].nest != step.nest:
            if step.nest:
                found.append(
                    Box(
                        x=at(LABEL + start * across),
                        y=0,
                        width=at((k + 1 - start) * across),
                        height=TALL,
                        kind=f"{nest_kind(place[step.nest])} shade",
                        title=f"nest {step.nest}",
                    )
                )
            start = k + 1
    return found


def _forms(report: Report, across: float, up: float) -> list[Box]:
    found: list[Box] = []
    for tensor in report.tensors:
        for form in tensor.forms:
            if form.drawn_at is None:
                continue
            tall = form.bytes * up
            wide = (form.last_step + 1 - form.first_step) * across
            found.append(
                Box(
                    x=at(LABEL + form.first_step * across),
                    y=at(TALL - form.drawn_at * up - tall),
                    width=at(wide),
                    height=at(max(1.0, tall)),
                    kind=f"form {_kind(report, form)}",
                    title=_title(tensor, form),
                    label=_label(tensor.name, wide, tall),
                    tensor=tensor.name,
                )
            )
    return found


def _kind(report: Report, form: FormLine) -> str:
    """The colour of the nest in which the form is made."""
    nests = [n.name for n in report.nests]
    made = report.steps[form.made_by[0]].nest if form.made_by else ""
    return nest_kind(nests.index(made)) if made in nests else nest_kind(0)


def _title(tensor: TensorLine, form: FormLine) -> str:
    copies = f" in {form.copies} copies" if form.copies > 1 else ""
    where = "" if form.address is None else f" at {form.address:,}"
    return (
        f"{tensor.name}, {form.partitions} on the partitions: {form.bytes:,} B{copies}{where}, "
        f"steps {form.first_step} to {form.last_step}"
    )


def _label(name: str, wide: float, tall: float) -> str:
    """The name, or its end, where there is room."""
    short = short_name(name)
    if tall < 11:
        return ""
    return next((n for n in (name, short) if len(n) * 6.2 < wide), "")


def _loads(report: Report, across: float) -> list[Box]:
    """Bytes in use at every step: forms, and the step's own tiles."""
    s = report.summary
    found: list[Box] = []
    for k, used in enumerate(report.in_use_bytes):
        tall = STRIP * used / s.sbuf_bytes
        kind = "full" if used == s.sbuf_peak_bytes else "use"
        title = f"step {k}: {used:,} of {s.sbuf_bytes:,} B"
        x, y = at(LABEL + k * across), at(TALL + GAP + STRIP - tall)
        found.append(Box(x=x, y=y, width=at(across), height=at(tall), kind=kind, title=title))
    return found
