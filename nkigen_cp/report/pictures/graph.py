"""The steps as a graph: nodes coloured by nest, edges are the forms that pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.report.model import Report, StepLine
from nkigen_cp.report.pictures.shapes import Box, Line, Picture, at, nest_kind, short_name

NODE_WIDTH, NODE_HEIGHT, ACROSS, DOWN = 128.0, 24.0, 12.0, 26.0
PAGE = 120
"""Steps of one picture; more come on further ones."""

SWEEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A form on its way from the step that makes it to one that reads it."""

    source: int
    target: int
    tensor: str
    memory: str
    says: str


def graph_pictures(report: Report) -> tuple[Picture, ...]:
    """One picture per ``PAGE`` steps; edges between pages are left to the tables."""
    edges = tuple(_edges(report))
    count = len(report.steps)
    return tuple(
        _page(report, range(first, min(count, first + PAGE)), edges)
        for first in range(0, count, PAGE)
    )


def _edges(report: Report) -> Iterator[Edge]:
    for tensor in report.tensors:
        for form in tensor.forms:
            where = form.partitions or "HBM"
            says = f"{tensor.name} ({form.memory}, {where}), {tensor.residency}"
            for source in form.made_by:
                for target in form.read_by:
                    if source < target:
                        yield Edge(source=source, target=target, tensor=tensor.name,
                                   memory=form.memory, says=says)  # fmt: skip


def _page(report: Report, page: range, edges: Sequence[Edge]) -> Picture:
    own = [e for e in edges if e.source in page and e.target in page]
    moves = [k for k in page if not report.steps[k].ops]
    rows = _ordered(_layers(page, moves, own), own)
    widest = max(len(row) for row in rows)
    width = widest * (NODE_WIDTH + ACROSS)
    at_step = {
        step: (k * width / len(row) + (width / len(row) - NODE_WIDTH) / 2, j * (NODE_HEIGHT + DOWN))
        for j, row in enumerate(rows)
        for k, step in enumerate(row)
    }
    nests = [n.name for n in report.nests]
    boxes: list[Box] = []
    for step in page:
        x, y = at_step[step]
        line = report.steps[step]
        kind = nest_kind(nests.index(line.nest))
        boxes.append(
            Box(
                x=at(x),
                y=at(y + 2),
                width=NODE_WIDTH,
                height=NODE_HEIGHT,
                kind=f"node {kind}{'' if line.ops else ' moves'}",
                title=_title(line),
                label=_label(line),
                step=step,
            )
        )
    lines = tuple(_line(e, at_step) for e in own)
    return Picture(
        width=width,
        height=len(rows) * (NODE_HEIGHT + DOWN),
        says=f"Steps {page.start} to {page.stop - 1} and the tensors between them; the table of "
        "steps names what each reads and writes.",
        boxes=tuple(boxes),
        lines=lines,
    )


def _layers(page: range, moves: Sequence[int], edges: Sequence[Edge]) -> list[list[int]]:
    """Steps by the longest way to them; ``moves`` come just before their readers."""
    depth = dict.fromkeys(page, 0)
    for edge in sorted(edges, key=lambda e: e.source):
        depth[edge.target] = max(depth[edge.target], depth[edge.source] + 1)
    for step in reversed(moves):
        readers = [depth[e.target] for e in edges if e.source == step]
        depth[step] = min(readers, default=depth[step] + 1) - 1
    layers: list[list[int]] = [[] for _ in range(max(depth.values()) + 1)]
    for step, layer in depth.items():
        layers[layer].append(step)
    return [layer for layer in layers if layer]


def _ordered(layers: list[list[int]], edges: Sequence[Edge]) -> list[list[int]]:
    """Every layer by where its neighbours are, down and up by turns: fewer edges cross."""
    near: dict[int, list[int]] = {}
    for e in edges:
        near.setdefault(e.source, []).append(e.target)
        near.setdefault(e.target, []).append(e.source)
    place = {s: (k + 0.5) / len(layer) for layer in layers for k, s in enumerate(layer)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            layer.sort(key=lambda s: (_mean(place, near.get(s, [s])), s))
            for k, step in enumerate(layer):
                place[step] = (k + 0.5) / len(layer)
    return layers


def _mean(place: Mapping[int, float], steps: Sequence[int]) -> float:
    return sum(place[s] for s in steps) / len(steps)


def _line(edge: Edge, at_step: Mapping[int, tuple[float, float]]) -> Line:
    (x0, y0), (x1, y1) = at_step[edge.source], at_step[edge.target]
    x0, x1 = at(x0 + NODE_WIDTH / 2), at(x1 + NODE_WIDTH / 2)
    y0, y1 = at(y0 + NODE_HEIGHT + 2), at(y1 + 2)
    bend = at((y0 + y1) / 2)
    return Line(path=f"M{x0} {y0}C{x0} {bend} {x1} {bend} {x1} {y1}", kind=f"edge {edge.memory}",
                title=edge.says, tensor=edge.tensor)  # fmt: skip


def _title(step: StepLine) -> str:
    what = ", ".join(o.name for o in step.ops) or step.moves
    return f"step {step.number}: {step.instruction}; {what}"


def _label(step: StepLine) -> str:
    text = f"{step.number} {short_name(step.writes[0]) if step.writes else step.name}"
    return text if len(text) <= 19 else text[:18] + "…"
