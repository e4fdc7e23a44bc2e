"""The engine timeline: lanes one below the other, time to the right, colours by nest."""

from __future__ import annotations

from nkigen_cp.report.bars import DMA_ROWS, LEAP
from nkigen_cp.report.model import Bar, Report, StepLine
from nkigen_cp.report.pictures.shapes import (
    Box,
    Line,
    Picture,
    Text,
    at,
    microseconds,
    nest_kind,
    ticks,
)
from nkigen_cp.simulate.timeline.program import LANES, LOAD

WIDTH, LABEL = 1120.0, 64.0
ENGINE_ROW, DMA_ROW, GAP, AXIS = 20.0, 9.0, 6.0, 22.0


def timeline_picture(report: Report) -> Picture:
    """All bars of the report, with a scale in microseconds."""
    latency = max(1, report.summary.latency_ns)
    scale = (WIDTH - LABEL - 8) / latency
    kinds = {n.name: nest_kind(k) for k, n in enumerate(report.nests)}
    top = _tops()
    height = max(top.values()) + DMA_ROWS * DMA_ROW + GAP
    boxes: list[Box] = []
    for bar in report.bars:
        step = report.steps[bar.step]
        leaps = bar.lane == LEAP
        y = AXIS if leaps else top[bar.lane] + bar.row * DMA_ROW
        tall = (
            height - AXIS - GAP
            if leaps
            else (DMA_ROW - 1 if bar.lane in LANES[LOAD:] else ENGINE_ROW)
        )
        boxes.append(
            Box(
                x=at(LABEL + bar.start_ns * scale),
                y=y,
                width=at(max(0.5, (bar.end_ns - bar.start_ns) * scale)),
                height=tall,
                kind="leap" if leaps else f"{kinds[step.nest]}{'' if step.ops else ' moves'}",
                title=_title(bar, step),
                step=None if leaps else bar.step,
            )
        )
    boxes.sort(key=lambda b: b.kind != "leap")
    marks = [(at(LABEL + 1000 * t * scale), t) for t in ticks(latency / 1000)]
    texts = [Text(x=x, y=12, text=f"{t:,g} µs", anchor="middle", kind="tick") for x, t in marks]
    for lane, y in top.items():
        texts.append(Text(x=LABEL - 6, y=y + 14, text=lane, anchor="end"))
    lines = tuple(Line(path=f"M{x} {AXIS - 4}V{height}", kind="grid") for x, _ in marks)
    says = (
        f"What every engine does over {microseconds(latency)}; the table of steps has the figures."
    )
    return Picture(width=WIDTH, height=height, says=says, boxes=tuple(boxes), lines=lines,
                   texts=tuple(texts))  # fmt: skip


def _tops() -> dict[str, float]:
    """Where every lane begins."""
    found: dict[str, float] = {}
    y = AXIS
    for lane in LANES:
        found[lane] = y
        y += GAP + (DMA_ROWS * DMA_ROW if lane in LANES[LOAD:] else ENGINE_ROW)
    return found


def _title(bar: Bar, step: StepLine) -> str:
    when = f"{microseconds(bar.start_ns)} to {microseconds(bar.end_ns)}"
    if bar.lane == LEAP:
        return f"{bar.note}, {when}"
    made = f"step {step.number}: {step.instruction} of {', '.join(step.writes)}"
    return f"{made}; {bar.instructions} on {bar.lane}, {when}"
