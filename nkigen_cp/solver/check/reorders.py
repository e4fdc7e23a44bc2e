"""What copies within the partitions take: free digits of both forms, and their price."""

from __future__ import annotations

import math

from nkigen_cp.ir.nki.cost import busy_ns
from nkigen_cp.ir.nki.cycles import OperandShape
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import blocks, shape_of
from nkigen_cp.solver.check.price_dma import Priced
from nkigen_cp.solver.plan import CHUNK, Form, Reorder, Step


def _fixed(facts: Facts, step: Step) -> list[str]:
    """Factors of which one iteration copies one position."""
    layouts = (facts.forms[u.form].layout for u in (*step.reads, *step.writes))
    return [f.factor for layout in layouts if layout is not None for f in layout.fixed]


def reordered_sizes(facts: Facts, step: Step) -> dict[str, int]:
    """Free digits that one iteration of a reorder copies, CHUNK with full chunks only."""
    form = facts.forms[step.writes[0].form]
    assert form.layout is not None
    fixed = _fixed(facts, step)
    shape = shape_of(facts.held(form.name), form.layout)
    whole = shape.chunks - 1 if shape.rest else shape.chunks
    return {CHUNK: max(1, whole)} | {d: n for d, n in shape.free.items() if d not in fixed}


def free_strides(facts: Facts, form: Form) -> dict[str, int]:
    """Elements between neighbours along the free digits of a form."""
    assert form.layout is not None
    shape = shape_of(facts.held(form.name), form.layout)
    return {**shape.strides, CHUNK: shape.chunk_stride}


def priced(facts: Facts, step: Step) -> Priced:
    """Every copy of one iteration."""
    spec = step.spec
    assert isinstance(spec, Reorder)
    tensor = facts.tensor(spec.tensor)
    target = facts.forms[step.writes[0].form]
    assert target.layout is not None
    sizes = reordered_sizes(facts, step)
    outer = next((f.size for f in tensor.factors if f.name in target.layout.partition[:1]), 1)
    shape = shape_of(tensor, target.layout)
    inner = shape.inner if target.layout.partition else shape.partitions
    for rows, chunks in blocks(outer, max(1, target.layout.block)):
        sizes[CHUNK] = chunks
        taken = [d for d in spec.order if d not in spec.loops and sizes[d] > 1]
        sides = {
            slot: OperandShape(
                memory=Memory.SBUF,
                dtype=tensor.dtype,
                partitions=rows * inner,
                free_size=math.prod(sizes[d] for d in taken),
                innermost_stride=free_strides(facts, facts.forms[use.form])[taken[-1]]
                if taken
                else 1,
            )
            for slot, use in (("dst", step.writes[0]), ("src", step.reads[0]))
        }
        times = math.prod(sizes[d] for d in spec.loops)
        yield spec.engine, times * busy_ns(facts.target, "tensor_copy", spec.engine, sides)
