"""Copies within the partitions that bring the free factors of a form into another order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.ir.nki.kernel import Affine
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.place import Box, Placement, layout_run, own_ranges, pieces, view
from nkigen_cp.solver.plan import CHUNK, Reorder
from nkigen_cp.solver.plan.layout import own_access


def lower_reorder(b: Builder, source: Placement, target: Placement, spec: Reorder) -> None:
    """One copy per position of the looped digits: of full chunks, then of a shorter last one."""
    tensor = target.tensor
    assert source.layout is not None
    assert target.layout is not None
    run = layout_run(tensor, target.layout)
    access = own_access(tensor, max(source.layout.fixed, target.layout.fixed, key=len))
    size = tensor.factor(run.digits[0]).size if run.digits else 1
    for start, chunks, rows in pieces(size, run):
        box = Box(
            run=run,
            rows=rows if run.digits else run.partitions,
            start=Affine(const=start * run.block),
            chunks=chunks,
            ranges={d: r for d, r in own_ranges(tensor, target.layout).items() if d in spec.order},
            order=tuple(d for d in spec.order if d not in spec.loops),
        )
        for one in _positions(b, box, spec.loops):
            args = {"dst": view(target, access, one), "src": view(source, access, one)}
            b.emit("tensor_copy", spec.engine, args, note=f"reorder {tensor.name}")


def _positions(b: Builder, box: Box, loops: Sequence[str]) -> Iterator[Box]:
    """The box at every position of the looped digits, the first one outermost."""
    if not loops:
        yield box
        return
    digit, rest = loops[0], loops[1:]
    if digit == CHUNK:
        for r in b.tiles("chunk", box.chunks, 1):
            start = box.start + r.start * box.run.block
            yield from _positions(b, replace(box, start=start, chunks=1), rest)
        return
    for r in b.tiles(digit, box.ranges[digit].size, 1):
        ranges = {**box.ranges, digit: Range(start=r.start, size=1)}
        yield from _positions(b, replace(box, ranges=ranges), rest)
