"""What a step costs, instruction by instruction, through the one cost function."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.check import exchanges, gathers, price_dma, reorders, scatters
from nkigen_cp.solver.check.contractions import sides
from nkigen_cp.solver.check.facts import Covered, Facts
from nkigen_cp.solver.check.geometry import blocks, shape_of
from nkigen_cp.solver.check.instructions import slot_order, slot_strides
from nkigen_cp.solver.check.price_dma import Priced, tile
from nkigen_cp.solver.plan import (
    CHUNK,
    Contract,
    Elementwise,
    Exchange,
    Gather,
    Generate,
    Load,
    Reinterpret,
    Reorder,
    Replicate,
    Run,
    Scatter,
    Slot,
    Step,
    Store,
    Transpose,
)

ENGINES = ("tensor", "vector", "scalar", "gpsimd", "dma")


def step_ns(facts: Facts, step: Step) -> dict[str, float]:
    """Nanoseconds per engine of all instructions of one iteration of a step."""
    total: dict[str, float] = {}
    for engine, ns in _PRICED[type(step.spec)](facts, step):
        total[engine] = total.get(engine, 0.0) + ns
    return total


def _run_blocks(op: FactorOp, run: Run) -> list[tuple[int, int]]:
    """(positions of the outermost digit, chunks) of a run."""
    return [*blocks(op.size(run.digits[0]), run.block)] if run.digits else [(1, 1)]


def _inner(op: FactorOp, run: Run) -> int:
    return math.prod(op.size(d) for d in run.digits[1:])


def _elementwise(facts: Facts, step: Step) -> Priced:
    spec = step.spec
    assert isinstance(spec, Elementwise)
    op = facts.program.ops[spec.cover.root]
    c = Covered(step=step, spec=spec, domain=op)
    sizes = {d.name: d.size for d in op.digits}
    for rows, chunks in _run_blocks(op, spec.run):
        sizes[CHUNK] = chunks
        times = math.prod(sizes[d] for d in spec.loops)
        yield spec.engine, times * _instruction_ns(facts, c, rows * _inner(op, spec.run), sizes)


def _instruction_ns(facts: Facts, c: Covered, partitions: int, sizes: Mapping[str, int]) -> float:
    """One instruction of a cover, ``sizes`` giving the extents of its free digits."""

    def shape(slot: Slot) -> OperandShape:
        free = [d for d in slot_order(c, slot) if sizes[d] > 1]
        strides = slot_strides(facts, c, slot)
        moving = [strides[d] for d in free if strides.get(d)]
        psum = slot in c.cover.reads and slot.access.tensor == c.psum
        return OperandShape(
            memory=Memory.PSUM if psum else Memory.SBUF,
            dtype=FLOAT32 if psum else facts.tensor(slot.access.tensor).dtype,
            partitions=partitions,
            free_size=math.prod(sizes[d] for d in free),
            innermost_stride=1 if psum or not moving else abs(moving[-1]),
        )

    cover = c.cover
    shapes = {s.name: shape(s) for s in (*cover.reads, *cover.writes)}
    op = str(cover.params.get("op", "add"))
    return busy_ns(facts.target, cover.instruction, c.spec.engine, shapes, op=op)


def _contract(facts: Facts, step: Step) -> Priced:
    spec = step.spec
    assert isinstance(spec, Contract)
    op = facts.program.ops[spec.op]
    moving = [[*blocks(op.size(t.digit), t.block)] for t in spec.moving]
    outside = math.prod(op.size(d) for d in spec.loops)
    inside = math.prod(op.size(d) for d in spec.accumulate)
    inside *= math.prod(op.size(t.digit) for t in spec.items)
    kind = {n: facts.tensor(a.tensor).dtype for n, a in sides(op, spec).items()}
    m_inner, k_inner = _inner(op, spec.m_run), _inner(op, spec.k_run)
    for (m, m_times), (k, k_times), *n in itertools.product(
        _run_blocks(op, spec.m_run), _run_blocks(op, spec.k_run), *moving
    ):
        steps = -(-k_times // 2) if spec.double_row else k_times
        times = outside * inside * m_times * steps * math.prod(t for _, t in n)
        columns = math.prod(e for e, _ in n)
        one = _matmul_ns(facts, kind, m * m_inner, k * k_inner, columns)
        yield "tensor", times * one
    yield from _evicted(facts, step, spec, op)
    yield from price_dma.streamed(facts, op, spec)


def _evicted(facts: Facts, step: Step, spec: Contract, op: FactorOp) -> Priced:
    """The epilogue over every PSUM tile."""
    moving = [[*blocks(op.size(t.digit), t.block)] for t in spec.moving]
    items = [[*blocks(op.size(t.digit), t.block)] for t in spec.items]
    outside = math.prod(op.size(d) for d in spec.loops)
    c = Covered(
        step=step,
        spec=spec.epilogue,
        domain=op,
        psum=op.output.tensor,
        tiles={t.digit: t.block for t in (*spec.items, *spec.moving)},
    )
    for (m, m_times), *spans in itertools.product(_run_blocks(op, spec.m_run), *items, *moving):
        sizes = {t.digit: e for t, (e, _) in zip((*spec.items, *spec.moving), spans, strict=True)}
        times = outside * m_times * math.prod(t for _, t in spans)
        times *= math.prod(sizes[d] for d in spec.epilogue.loops)
        partitions = m * _inner(op, spec.m_run)
        yield spec.epilogue.engine, times * _instruction_ns(facts, c, partitions, sizes)


def _matmul_ns(facts: Facts, kind: Mapping[str, DType], m: int, k: int, n: int) -> float:
    shapes = {
        "dst": tile(Memory.PSUM, FLOAT32, m, n),
        "stationary": tile(Memory.SBUF, kind["stationary"], k, m),
        "moving": tile(Memory.SBUF, kind["moving"], k, n),
    }
    return busy_ns(facts.target, "nc_matmul", "tensor", shapes)


def _transpose(facts: Facts, step: Step) -> Priced:
    spec = step.spec
    assert isinstance(spec, Transpose)
    tensor = facts.tensor(spec.tensor)
    a, b = (facts.forms[u.form].layout for u in (*step.reads, *step.writes))
    assert a is not None
    assert b is not None
    size = {f.name: f.size for f in tensor.factors}
    apart = (*a.partition, *b.partition, *(f.factor for f in (*a.fixed, *b.fixed)))
    others = math.prod(n for f, n in size.items() if f not in apart)
    shared = spec.items[0] if spec.items else None
    by_chunk = shared is not None and shared.digit == b.partition[0]
    for (ra, ta), (rb, tb) in itertools.product(
        blocks(size[a.partition[0]], a.block), blocks(size[b.partition[0]], b.block)
    ):
        rows = ra * shape_of(tensor, a).inner
        columns = rb * shape_of(tensor, b).inner
        count = ta * tb * others
        data = tile(Memory.SBUF, tensor.dtype, rows, columns)
        psum = tile(Memory.PSUM, tensor.dtype, columns, rows)
        yield (
            "tensor",
            count * busy_ns(facts.target, "nc_transpose", "tensor", {"dst": psum, "data": data}),
        )
        share = 1
        if shared is not None:
            share = shared.block if not by_chunk else max(1, shared.block // b.block)
            share = 1 if by_chunk and rb < b.block else share
        wide = tile(Memory.PSUM, tensor.dtype, columns, rows * share)
        stride = shape_of(tensor, b).strides[a.partition[-1]]
        out = replace(wide, memory=Memory.SBUF, innermost_stride=stride)
        copy = busy_ns(facts.target, "tensor_copy", spec.engine, {"dst": out, "src": wide})
        yield spec.engine, count / share * copy


def _replicate(facts: Facts, step: Step) -> Priced:
    spec = step.spec
    assert isinstance(spec, Replicate)
    tensor = facts.tensor(spec.tensor)
    layout = facts.forms[step.writes[0].form].layout
    assert layout is not None
    size = shape_of(tensor, layout).free
    looped = math.prod(n for f, n in size.items() if f not in [t.digit for t in spec.tiles])
    kind = {"stationary": tensor.dtype, "moving": tensor.dtype}
    ones = {"dst": tile(Memory.SBUF, tensor.dtype, 1, layout.replicas)}
    yield "gpsimd", busy_ns(facts.target, "memset", "gpsimd", ones)
    for spans in itertools.product(*(blocks(size[t.digit], t.block) for t in spec.tiles)):
        times = looped * math.prod(t for _, t in spans)
        columns = math.prod(e for e, _ in spans)
        yield "tensor", times * _matmul_ns(facts, kind, layout.replicas, 1, columns)
        out = tile(Memory.SBUF, tensor.dtype, layout.replicas, columns)
        psum = tile(Memory.PSUM, FLOAT32, layout.replicas, columns)
        copy = busy_ns(facts.target, "tensor_copy", spec.engine, {"dst": out, "src": psum})
        yield spec.engine, times * copy


def _generate(facts: Facts, step: Step) -> Priced:
    spec = step.spec
    assert isinstance(spec, Generate)
    tensor = facts.tensor(spec.tensor)
    layout = facts.forms[step.writes[0].form].layout
    assert layout is not None
    shape = shape_of(tensor, layout)
    elements = shape.chunks * math.prod(shape.free.values())
    out = tile(Memory.SBUF, tensor.dtype, shape.partitions, elements)
    if spec.fill is not None:
        yield "gpsimd", busy_ns(facts.target, "memset", "gpsimd", {"dst": out})
    counted = ["iota"] * (spec.fill is None) + ["affine_select"] * len(spec.selects)
    outer = next((f.size for f in tensor.factors if f.name in layout.partition[:1]), 1)
    for made, (rows, chunks) in itertools.product(counted, blocks(outer, max(1, layout.block))):
        part = replace(
            out, partitions=rows * shape.inner, free_size=elements // shape.chunks * chunks
        )
        yield "gpsimd", busy_ns(facts.target, made, "gpsimd", {"dst": part, "on_true_tile": part})


_PRICED: Mapping[type, Callable[[Facts, Step], Priced]] = {
    Elementwise: _elementwise,
    Contract: _contract,
    Load: price_dma.load,
    Store: price_dma.store,
    Transpose: _transpose,
    Replicate: _replicate,
    Reorder: reorders.priced,
    Generate: _generate,
    Reinterpret: price_dma.reinterpret,
    Exchange: exchanges.priced,
    Gather: gathers.priced,
    Scatter: scatters.priced,
}
