"""What DMAs cost: loads, streams, stores and reinterpretations, through the one cost function."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.factor.program import FactorOp, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.tensor.graph import Operand
from nkigen_cp.solver.check.contractions import sides
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import Shape, blocks, demanded, shape_of
from nkigen_cp.solver.plan import Contract, Layout, Reinterpret, Step, Store

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
    """A form, or a window of one, into HBM."""
    spec, form = step.spec, facts.forms[step.reads[0].form]
    assert isinstance(spec, Store)
    tensor = facts.tensor(form.tensor)
    digit = {f.name: i.digit for f, i in zip(tensor.factors, spec.source.index, strict=True)}
    if form.layout is None:
        row = _stored_row(facts, spec, [digit[f.name] for f in tensor.factors])
        elements = math.prod(spec.digits.values())
        shape = replace(
            tile(Memory.HBM, tensor.dtype, 1, elements), run_bytes=row * tensor.dtype.size_bytes
        )
        yield "dma", busy_ns(facts.target, "dma_copy", "dma", {"dst": shape, "src": shape})
        return
    shape = shape_of(tensor, form.layout)
    row = _stored_row(facts, spec, [digit[n] for n in shape.free])
    elements = math.prod(spec.digits[d] for n in shape.free if (d := digit[n]) is not None)
    for rows, chunks, times in _partition_pieces(tensor, form.layout, spec):
        yield "dma", times * _dma_ns(facts, tensor.dtype, rows, chunks * elements, row)


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
    dtype = tensors[op.outputs[0].tensor].dtype
    shape = replace(tile(Memory.HBM, dtype, 1, elements), run_bytes=row * dtype.size_bytes)
    yield "dma", busy_ns(facts.target, "dma_copy", "dma", {"dst": shape, "src": shape})


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


def _stored_row(facts: Facts, spec: Store, free: Sequence[str | None]) -> int:
    """Elements that lie next to each other in the source's free factors and in the target."""
    factors = facts.tensor(spec.target.tensor).factors
    sources = facts.tensor(spec.source.tensor).factors
    whole = {i.digit: f.size for f, i in zip(sources, spec.source.index, strict=True)}
    row = 1
    for factor, index, digit in zip(
        reversed(factors), reversed(spec.target.index), reversed(free), strict=False
    ):
        if digit is None or index.digit != digit:
            break
        row *= spec.digits[digit]
        if spec.digits[digit] != factor.size or spec.digits[digit] != whole[digit]:
            break
    return row
