"""The roofline: operations per nanosecond over operations per byte, both in powers of ten."""

from __future__ import annotations

import math

from nkigen_cp.report.model import Report
from nkigen_cp.report.pictures.shapes import Box, Line, Picture, Text, at

WIDTH, HEIGHT, LEFT, BOTTOM = 560.0, 300.0, 62.0, 36.0


def roofline_picture(report: Report) -> Picture | None:
    """The roof of the target, the program under it, and the plan; None without matmuls."""
    s, c = report.summary, report.compute
    if not c.operations or not s.hbm_bytes_min:
        return None
    points = [
        (
            "compulsory traffic",
            c.operations / s.hbm_bytes_min,
            c.operations / s.roofline_ns,
            "bound",
        ),
        (
            "this plan",
            c.operations / max(1, s.hbm_bytes),
            c.operations / max(1, s.latency_ns),
            "latency",
        ),
    ]
    knee = c.peak / c.hbm_bytes_per_ns
    left = math.floor(math.log10(min(knee, *(p[1] for p in points)) / 2))
    right = math.ceil(math.log10(2 * max(knee, *(p[1] for p in points))))
    low = math.floor(math.log10(min(p[2] for p in points) / 2))
    high = math.ceil(math.log10(1.2 * c.peak))

    def place(intensity: float, rate: float) -> tuple[float, float]:
        x = (math.log10(intensity) - left) / (right - left)
        y = (math.log10(rate) - low) / (high - low)
        return at(LEFT + x * (WIDTH - LEFT - 12)), at((HEIGHT - BOTTOM) * (1 - y) + 4)

    start = max(10.0**left, 10.0**low / c.hbm_bytes_per_ns)
    ends = (
        place(start, start * c.hbm_bytes_per_ns),
        place(knee, c.peak),
        place(10.0**right, c.peak),
    )
    roof = "M" + "L".join(f"{x} {y}" for x, y in ends)
    lines = [Line(path=roof, kind="roof", title=f"{c.peak / 1000:,.1f} Top/s and "
                  f"{c.hbm_bytes_per_ns:,.0f} GB/s")]  # fmt: skip
    texts: list[Text] = []
    for k in range(left, right + 1):
        x, y = place(10.0**k, 10.0**low)
        lines.append(Line(path=f"M{x} 4V{y}", kind="grid"))
        texts.append(
            Text(
                x=x,
                y=y + 14,
                text=f"{10.0**k:,g}",
                anchor="end" if k == right else "middle",
                kind="tick",
            )
        )
    for k in range(low, high + 1):
        x, y = place(10.0**left, 10.0**k)
        lines.append(Line(path=f"M{x} {y}H{WIDTH - 12}", kind="grid"))
        texts.append(Text(x=x - 6, y=y + 4, text=f"{10.0**k / 1000:,g}", anchor="end", kind="tick"))
    boxes: list[Box] = []
    for name, intensity, rate, kind in points:
        x, y = place(intensity, rate)
        title = f"{name}: {rate / 1000:,.2f} Top/s at {intensity:,.1f} operations per byte"
        boxes.append(Box(x=x - 4, y=y - 4, width=8, height=8, kind=f"point {kind}", title=title))
        below = 18 if kind == "latency" else -8
        texts.append(Text(x=x, y=y + below, text=name, anchor="middle"))
    texts.append(Text(x=WIDTH - 12, y=HEIGHT - 2, text="operations per byte of HBM", anchor="end"))
    texts.append(Text(x=4, y=12, text="Top/s", kind="tick"))
    says = "; ".join(b.title for b in boxes)
    return Picture(width=WIDTH, height=HEIGHT, says=says, boxes=tuple(boxes), lines=tuple(lines),
                   texts=tuple(texts))  # fmt: skip
