"""Bars to compare: what the program needs at least, what the plan takes, and who fills it."""

from __future__ import annotations

from nkigen_cp.report.model import Report
from nkigen_cp.report.pictures.shapes import Box, Picture, Text, at, microseconds, nest_kind

WIDTH, LABEL, VALUE, ROW = 760.0, 150.0, 120.0, 22.0


def bounds_picture(report: Report) -> Picture:
    """Bounds of the hardware, busy engines, the solver's figures and the latency, to one scale."""
    s = report.summary
    rows = [
        ("HBM roofline", s.hbm_bound_ns, "bound"),
        ("matmul roofline", s.engine_bound_ns, "bound"),
    ]
    rows += [(f"{engine} busy", ns, "engine") for engine, ns in s.busy_ns.items()]
    rows += [
        ("proven bound", s.bound_ns, "model"),
        ("objective", s.objective_ns, "model"),
        ("latency", s.latency_ns, "latency"),
    ]
    most = max(1, *(ns for _, ns, _ in rows))
    scale = (WIDTH - LABEL - VALUE) / most
    boxes: list[Box] = []
    texts: list[Text] = []
    for k, (name, ns, kind) in enumerate(rows):
        y = k * ROW
        title = f"{name}: {microseconds(ns)}"
        boxes.append(Box(x=LABEL, y=y + 4, width=at(max(1.0, ns * scale)), height=ROW - 8,
                         kind=kind, title=title))  # fmt: skip
        texts.append(Text(x=LABEL - 8, y=y + 15, text=name, anchor="end"))
        texts.append(Text(x=at(LABEL + ns * scale + 6), y=y + 15, text=microseconds(ns)))
    says = "; ".join(f"{name} {microseconds(ns)}" for name, ns, _ in rows)
    return Picture(width=WIDTH, height=len(rows) * ROW, says=says, boxes=tuple(boxes),
                   texts=tuple(texts))  # fmt: skip


def critical_picture(report: Report) -> Picture:
    """The latency as one strip: the exclusive time of every nest, then what is idle."""
    s = report.summary
    parts = [(n.label, n.exclusive_ns, nest_kind(k)) for k, n in enumerate(report.nests)]
    parts.append(("idle", s.idle_ns, "idle"))
    scale, x = WIDTH / max(1, s.latency_ns), 0.0
    boxes: list[Box] = []
    for name, ns, kind in parts:
        share = 100 * ns / max(1, s.latency_ns)
        title = f"{name}: {microseconds(ns)} ({share:.1f} %)"
        label = name if ns * scale > 8 * len(name) else ""
        boxes.append(Box(x=at(x), y=0, width=at(ns * scale), height=26, kind=kind, title=title,
                         label=label))  # fmt: skip
        x += ns * scale
    says = "; ".join(b.title for b in boxes)
    return Picture(width=WIDTH, height=26, says=says, boxes=tuple(boxes))
