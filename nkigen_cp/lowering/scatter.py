"""Scatters to instructions: the first operand copied, then block by block where data says.

Where an input is updated in place the first operand is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.dma import transfer_boxes
from nkigen_cp.lowering.place import PICKED, Box, Placement, view
from nkigen_cp.lowering.reinterpret import flat
from nkigen_cp.solver.plan import Scatter
from nkigen_cp.solver.plan.values import put_store


def lower_scatter(
    b: Builder, program: Program, spec: Scatter, places: Mapping[str, Placement]
) -> None:
    """One DMA for all that stays elsewhere, and one per index, the last one last."""
    op = program.ops[spec.op]
    _, index, given = op.accesses
    base, dst = places["base"].buffer, places["dst"].buffer
    note = f"write {given.tensor} into {dst.tensor}"
    if dst is not base:
        b.emit("dma_copy", "dma", {"dst": flat(dst), "src": flat(base)}, ops=(op.name,), note=note)
    count = next(i.picked for i in op.output.index if i.picked)
    for box in transfer_boxes(b, places["values"], places["dst"], put_store(op, spec)):
        rows = replace(box, ranges={**box.ranges, PICKED: Range(size=count)})
        args = {
            "dst": view(places["dst"], op.output, rows),
            "src": view(places["values"], given, box),
            "index": view(places["index"], index, Box(ranges=box.ranges)),
        }
        b.emit("dma_put", "dma", args, ops=(op.name,), note=note)
