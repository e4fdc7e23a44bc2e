"""How a form lies on the partitions: what of the 128 is filled, in how many chunks."""

from __future__ import annotations

from nkigen_cp.report.model import FormLine
from nkigen_cp.report.pictures.shapes import Box, Line, Picture, at

WIDTH, HEIGHT = 96.0, 42.0
PARTITIONS = 128

MOST_CHUNKS = 12
"""Chunks that can be told apart."""


def tile_picture(form: FormLine, tensor: str) -> Picture:
    """Partitions downwards, the free dimension to the right; not to scale there."""
    tall = HEIGHT * form.held_partitions / PARTITIONS
    free = f"{form.free_elements:,} elements in each"
    chunks = f", {form.chunks} chunks" if form.chunks > 1 else ""
    says = f"{form.held_partitions} of {PARTITIONS} partitions, {free}{chunks}"
    boxes = (
        Box(x=0.5, y=0.5, width=WIDTH - 1, height=HEIGHT - 1, kind="empty", title=says),
        Box(x=0.5, y=0.5, width=WIDTH - 1, height=at(max(1.5, tall - 1)), kind="filled", title=says,
            tensor=tensor),
    )  # fmt: skip
    count = min(form.chunks, MOST_CHUNKS)
    lines = tuple(
        Line(path=f"M{at(k * WIDTH / count)} 0V{at(tall)}", kind="chunk") for k in range(1, count)
    )
    return Picture(width=WIDTH, height=HEIGHT, says=says, boxes=boxes, lines=lines)
