"""What DMAs cost: loads, streams, stores and reinterpretations, through the one cost function."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.factor.program import Access, FactorOp, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.tensor.graph import Operand
from nkigen_cp.solver.check.contractions import sides
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import Shape, blocks, demanded, shape_of
from nkigen_cp.solver.plan import CHUNK, Contract, Layout, Reinterpret, Step, Store

Priced = Iterator[tuple[str, float]]
"""(engine, nanoseconds) of some instructions."""


def tile(memory: Memory, dtype: DType, partitions: int, free: int) -> OperandShape:
    """A contiguous operand."""
    return OperandShape(memory=memory, dtype=dtype, partitions=partitions, free_size=free)


def load(facts: Facts, step: Step) -> Priced:
    """A whole tensor into its form."""
    form = facts.forms[step.writes[0].form]
    assert form.layout is not None
    yield from _loaded(facts, facts.tensor(form.tensor), form.layout, {})


def streamed(facts: Facts, op: FactorOp, spec: Contract) -> Priced:
    """The streamed operand of a contraction, block by block."""
    stream = spec.stream
    if stream is None:
        return
    access = sides(op, spec)[stream.slot]
    tensor = facts.tensor(access.tensor)
    layout = demanded(tensor, access, spec.k_run)
    assert not isinstance(layout, str)
    named = zip(tensor.factors, access.index, strict=True)
    factor = next(f.name for f, i in named if i.digit == stream.digit)
    for extent, times in blocks(op.size(stream.digit), stream.block):
        window = {factor: extent}
        yield from ((e, times * ns) for e, ns in _loaded(facts, tensor, layout, window))


def store(facts: Facts, step: Step) -> Priced:
    """A form, or a window of one, or an HBM tensor, into HBM."""
    spec, form = step.spec, facts.forms[step.reads[0].form]
    assert isinstance(spec, Store)
    tensor, into = facts.tensor(form.tensor), facts.tensor(spec.target.tensor)
    hbm = _digit_steps(spec.target, _whole_steps(into))
    kinds = (into.dtype, tensor.dtype)
    if form.layout is None:
        order = [(d, spec.digits[d]) for d in spec.target.digits]
        row = _rows(order, hbm, _digit_steps(spec.source, _whole_steps(tensor)))
        elements = math.prod(spec.digits.values())
        yield "dma", _moved_ns(facts, kinds, Memory.HBM, (1, elements), row)
        return
    shape = shape_of(tensor, form.layout)
    chip = _digit_steps(spec.source, [shape.strides.get(f.name, 0) for f in tensor.factors])
    digit = {f.name: i.digit for f, i in zip(tensor.factors, spec.source.index, strict=True)}
    held = [d for n in shape.free if (d := digit[n]) is not None]
    apart = [digit[n] for n in form.layout.partition]
    again = [d for d in spec.target.digits if d not in held and d not in apart]
    if apart and (outer := apart[0]) is not None:
        hbm[CHUNK], chip[CHUNK] = hbm[outer] * form.layout.block, shape.chunk_stride
    for rows, chunks, times in _partition_pieces(tensor, form.layout, spec):
        order = [(d, spec.digits[d]) for d in again]
        order += [(CHUNK, chunks), *((d, spec.digits[d]) for d in held)]
        extent = (rows, math.prod(n for _, n in order))
        one = _moved_ns(facts, kinds, Memory.SBUF, extent, _rows(order, hbm, chip))
        yield "dma", times * one


def _whole_steps(tensor: FactorTensor) -> list[int]:
    sizes = [f.size for f in tensor.factors]
    return [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]


def _digit_steps(access: Access, steps: Sequence[int]) -> dict[str, int]:
    """Elements that a step of each digit moves."""
    return {
        i.digit: i.step * s for i, s in zip(access.index, steps, strict=True) if i.digit is not None
    }


def _rows(order: Sequence[tuple[str, int]], *sides: Mapping[str, int]) -> int:
    """Elements from the first on that follow each other on every side, found by counting."""
    rows: list[int] = []
    for steps in sides:
        places = np.zeros(1, np.int64)
        for digit, size in order:
            places = np.ravel(places[:, None] + steps.get(digit, 0) * np.arange(size))
        breaks = np.flatnonzero(np.diff(places) != 1)
        rows.append(int(breaks[0]) + 1 if breaks.size else places.size)
    return min(rows)


def _moved_ns(
    facts: Facts,
    kinds: tuple[DType, DType],
    source: Memory,
    extent: tuple[int, int],
    row: int,
) -> float:
    """One DMA of (partitions, elements each) from ``source`` into HBM in rows."""
    sides = {
        name: replace(tile(memory, kind, *extent), run_bytes=row * kind.size_bytes)
        for name, memory, kind in (("dst", Memory.HBM, kinds[0]), ("src", source, kinds[1]))
    }
    return busy_ns(facts.target, "dma_copy", "dma", sides)


def _partition_pieces(
    tensor: FactorTensor, layout: Layout, spec: Store
) -> list[tuple[int, int, int]]:
    """(partitions, chunks, times) of the DMAs: neighbouring partitions of a chunk go together.

    If every chunk is read whole, all chunks go together too.
    """
    if not layout.partition:
        return [(1, 1, 1)]
    shape = shape_of(tensor, layout)
    index = dict(zip((f.name for f in tensor.factors), spec.source.index, strict=True))
    where = np.zeros(1, np.int64)
    for name in layout.partition:
        at, size = index[name], next(f.size for f in tensor.factors if f.name == name)
        steps = np.arange(spec.digits[at.digit] if at.digit is not None else 1)
        where = np.ravel(where[:, None] * size + (at.offset + at.step * steps))
    full = shape.partitions
    runs = np.split(where, np.flatnonzero((np.diff(where) != 1) | (where[1:] % full == 0)) + 1)
    sizes = [len(r) for r in runs]
    if len(sizes) > 1 and set(sizes) == {full}:
        return [(full, len(sizes), 1)]
    return [(n, 1, sizes.count(n)) for n in dict.fromkeys(sizes)]


def reinterpret(facts: Facts, step: Step) -> Priced:
    """HBM to HBM in the user's dims: descriptors of what is contiguous on both sides."""
    spec = step.spec
    assert isinstance(spec, Reinterpret)
    op = facts.program.graph.ops[spec.op]
    tensors = facts.program.graph.tensors
    sizes = [a.size for a in op.axes]
    elements = row = tensors[op.outputs[0].tensor].size
    sides = (op.operands[0], op.outputs[0])
    if op.kind == "copy" and all(len(d.terms) < 2 for s in sides for d in s.index):
        elements = math.prod(sizes)
        strides = [_axis_strides(s, tensors[s.tensor].shape, len(sizes)) for s in sides]
        row = min(_contiguous(sizes, each) for each in strides)
    kinds = (tensors[sides[1].tensor].dtype, tensors[sides[0].tensor].dtype)
    yield "dma", _moved_ns(facts, kinds, Memory.HBM, (1, elements), row)


def _axis_strides(operand: Operand, shape: Sequence[int], axes: int) -> list[int]:
    """Elements of the row-major tensor that a step along each axis moves."""
    strides, step = [0] * axes, 1
    for size, dim in zip(reversed(shape), reversed(operand.index), strict=True):
        for term in dim.terms:
            strides[term.axis] += term.stride * step
        step *= size
    return strides


def _contiguous(sizes: Sequence[int], strides: Sequence[int]) -> int:
    """Elements of the innermost axes that follow each other."""
    row = 1
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size > 1 and stride != row:
            break
        row *= size
    return row


def _loaded(
    facts: Facts, tensor: FactorTensor, layout: Layout, window: Mapping[str, int]
) -> Priced:
    """DMAs that load a tensor, or a window of some free factors.

    All full chunks come in one where there is no partial chunk, else in one each.
    """
    shape = shape_of(tensor, layout)
    free = {**shape.free, **window}
    elements = math.prod(free.values())
    row = _row(tensor, shape, free)
    full = shape.chunks - (shape.rest > 0)
    if full and not shape.rest:
        yield "dma", _dma_ns(facts, tensor.dtype, shape.partitions, full * elements, row)
    elif full:
        yield "dma", full * _dma_ns(facts, tensor.dtype, shape.partitions, elements, row)
    if shape.rest:
        yield "dma", _dma_ns(facts, tensor.dtype, shape.rest * shape.inner, elements, row)


def _row(tensor: FactorTensor, shape: Shape, free: Mapping[str, int]) -> int:
    """Elements next to each other both in HBM and in a partition."""
    row = 1
    for factor, name in zip(reversed(tensor.factors), reversed([*shape.free]), strict=False):
        if factor.name != name:
            break
        row *= free[name]
        if free[name] != factor.size:
            break
    return row


def _dma_ns(facts: Facts, dtype: DType, partitions: int, elements: int, row: int) -> float:
    shape = OperandShape(
        memory=Memory.SBUF,
        dtype=dtype,
        partitions=partitions,
        free_size=elements,
        run_bytes=row * dtype.size_bytes,
    )
    return busy_ns(facts.target, "dma_copy", "dma", {"dst": shape, "src": shape})
