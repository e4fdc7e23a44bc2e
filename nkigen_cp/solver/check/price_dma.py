"""What DMAs cost: loads, streams, stores and reinterpretations, through the one cost function."""

from __future__ import annotations

import itertools
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
from nkigen_cp.solver.check.geometry import blocks, demanded, shape_of
from nkigen_cp.solver.plan import CHUNK, Contract, Layout, Load, Reinterpret, Step, Store, Tiled
from nkigen_cp.targets.target import Target

Priced = Iterator[tuple[str, float]]
"""(engine, nanoseconds) of some instructions."""

Side = tuple[Memory, DType]
"""One end of a DMA."""


def tile(memory: Memory, dtype: DType, partitions: int, free: int) -> OperandShape:
    """A contiguous operand."""
    return OperandShape(memory=memory, dtype=dtype, partitions=partitions, free_size=free)


def load(facts: Facts, step: Step) -> Priced:
    """A whole tensor into its form, piece by piece."""
    spec, form = step.spec, facts.forms[step.writes[0].form]
    assert isinstance(spec, Load)
    assert form.layout is not None
    tensor = facts.tensor(form.tensor)
    shape = shape_of(tensor, form.layout)
    sizes = {**shape.free, CHUNK: 1 if shape.rest else shape.chunks}
    for window, times in _pieces(spec.loops, sizes):
        yield "dma", times * loaded_ns(facts.target, tensor, form.layout, window)


def _pieces(
    loops: Sequence[Tiled], sizes: Mapping[str, int]
) -> Iterator[tuple[Mapping[str, int], float]]:
    """(extents of the looped digits, times) of the DMAs that loops over blocks make.

    Loops that name something else, or one thing twice, cannot be carried out: they take forever.
    """
    digits = [t.digit for t in loops]
    if len(set(digits)) < len(digits) or not all(
        1 <= t.block <= sizes.get(t.digit, 0) for t in loops
    ):
        yield {}, math.inf
        return
    for spans in itertools.product(*(blocks(sizes[t.digit], t.block) for t in loops)):
        yield dict(zip(digits, (e for e, _ in spans), strict=True)), math.prod(n for _, n in spans)


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
        yield "dma", times * loaded_ns(facts.target, tensor, layout, {factor: extent})


def store(facts: Facts, step: Step) -> Priced:
    """A form, or a window of one, piece by piece; or an HBM tensor, into HBM."""
    spec, form = step.spec, facts.forms[step.reads[0].form]
    assert isinstance(spec, Store)
    tensor, into = facts.tensor(form.tensor), facts.tensor(spec.target.tensor)
    hbm = _digit_steps(spec.target, whole_steps(into))
    dst = (Memory.HBM, into.dtype)
    if form.layout is None:
        order = [(d, spec.digits[d]) for d in spec.target.digits]
        row = rows_of(order, hbm, _digit_steps(spec.source, whole_steps(tensor)))
        elements = math.prod(spec.digits.values())
        one = moved_ns(facts.target, dst, (Memory.HBM, tensor.dtype), (1, elements), row)
        yield "dma", math.inf if spec.loops else one
        return
    src = (Memory.SBUF, tensor.dtype)
    shape = shape_of(tensor, form.layout)
    chip = _digit_steps(spec.source, [shape.strides.get(f.name, 0) for f in tensor.factors])
    digit = {f.name: i.digit for f, i in zip(tensor.factors, spec.source.index, strict=True)}
    held = [d for n in shape.free if (d := digit[n]) is not None]
    apart = [digit[n] for n in form.layout.partition]
    looped = (t.digit for t in spec.loops if t.digit in spec.digits)
    moving = dict.fromkeys((*looped, *spec.target.digits))
    again = [d for d in moving if d not in held and d not in apart]
    if apart and (outer := apart[0]) is not None:
        hbm[CHUNK], chip[CHUNK] = hbm[outer] * form.layout.block, shape.chunk_stride
    for rows, chunks, times in _partition_pieces(tensor, form.layout, spec):
        sizes = {d: spec.digits[d] for d in again} | {CHUNK: chunks}
        sizes |= {d: spec.digits[d] for d in held}
        for window, pieces in _pieces(spec.loops, sizes):
            order = [*{**sizes, **window}.items()]
            extent = (rows, math.prod(n for _, n in order))
            one = moved_ns(facts.target, dst, src, extent, rows_of(order, hbm, chip))
            yield "dma", times * pieces * one


def whole_steps(tensor: FactorTensor) -> list[int]:
    """Elements of the row-major tensor that a step along each factor moves."""
    return _dense_steps([f.size for f in tensor.factors])


def _dense_steps(sizes: Sequence[int]) -> list[int]:
    """Elements that a step along each row-major dim moves."""
    return [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]


def _digit_steps(access: Access, steps: Sequence[int]) -> dict[str, int]:
    """Elements that a step of each digit moves."""
    return {
        i.digit: i.step * s for i, s in zip(access.index, steps, strict=True) if i.digit is not None
    }


def rows_of(order: Sequence[tuple[str, int]], *sides: Mapping[str, int]) -> int:
    """Elements from the first on that follow each other on every side, found by counting.

    Inside a digit only the first addresses are compared once all inner digits follow each other.
    """
    rows: list[int] = []
    for steps in sides:
        row = 1
        for digit, size in reversed(order):
            breaks = np.flatnonzero(np.diff(steps.get(digit, 0) * np.arange(size)) != row)
            row *= int(breaks[0]) + 1 if breaks.size else size
            if breaks.size:
                break
        rows.append(row)
    return min(rows)


def moved_ns(target: Target, dst: Side, src: Side, extent: tuple[int, int], row: int) -> float:
    """One DMA of (partitions, elements each) in rows of ``row`` elements."""
    sides = {
        name: replace(tile(memory, kind, *extent), run_bytes=row * kind.size_bytes)
        for name, (memory, kind) in (("dst", dst), ("src", src))
    }
    return busy_ns(target, "dma_copy", "dma", sides)


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
    src, dst = ((Memory.HBM, tensors[s.tensor].dtype) for s in sides)
    yield "dma", moved_ns(facts.target, dst, src, (1, elements), row)


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


def loaded_ns(
    target: Target, tensor: FactorTensor, layout: Layout, window: Mapping[str, int]
) -> float:
    """DMAs that load a tensor, or a window (free factor or CHUNK -> extent) of it.

    All full chunks come in one where there is no partial chunk, else in one each. Rows are found
    from the addresses on both sides: HBM is row-major, the window lies densely in each partition.
    """
    shape = shape_of(tensor, layout)
    free = {n: window.get(n, size) for n, size in shape.free.items()}
    hbm = dict(zip((f.name for f in tensor.factors), whole_steps(tensor), strict=True))
    chip = dict(zip(free, _dense_steps([*free.values()]), strict=True))
    elements = math.prod(free.values())
    if layout.partition:
        hbm[CHUNK], chip[CHUNK] = hbm[layout.partition[0]] * layout.block, elements

    def one(partitions: int, chunks: int) -> float:
        row = rows_of([(CHUNK, chunks), *free.items()], hbm, chip)
        dst, src = (Memory.SBUF, tensor.dtype), (Memory.HBM, tensor.dtype)
        return moved_ns(target, dst, src, (partitions, chunks * elements), row)

    full = shape.chunks - (shape.rest > 0)
    if not shape.rest:
        return one(shape.partitions, window.get(CHUNK, full))
    last = one(shape.rest * shape.inner, 1)
    return last + (full * one(shape.partitions, 1) if full else 0.0)
