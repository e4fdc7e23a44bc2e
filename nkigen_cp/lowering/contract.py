"""Contractions: stream blocks, PSUM tiles, accumulating matmuls, and the epilogue per tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.nki.kernel import Affine, Memory
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.dma import lower_load
from nkigen_cp.lowering.elementwise import emit_cover
from nkigen_cp.lowering.moves import PSUM_COPIES
from nkigen_cp.lowering.place import (
    Box,
    PlacedDim,
    Placement,
    buffer_shape,
    form_dims,
    layout_run,
    view,
)
from nkigen_cp.solver.plan import CHUNK, Contract, Tiled
from nkigen_cp.solver.plan.layout import operand_layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A contraction being lowered; ``places`` has both operands and the epilogue's slots."""

    b: Builder
    program: Program
    op: FactorOp
    spec: Contract
    places: Mapping[str, Placement]

    @property
    def accesses(self) -> dict[str, Access]:
        lhs, rhs = self.op.accesses
        sides = (lhs, rhs) if self.spec.stationary == "lhs" else (rhs, lhs)
        return {"stationary": sides[0], "moving": sides[1]}

    def replaced(self, **places: Placement) -> Job:
        return replace(self, places={**self.places, **places})


def lower_contract(
    b: Builder, program: Program, spec: Contract, places: Mapping[str, Placement]
) -> None:
    """The whole contraction; ``places`` of a streamed operand is its HBM form."""
    op = program.ops[spec.op]
    job = Job(b=b, program=program, op=op, spec=spec, places=places)
    if spec.stream is None:
        _tiles(job, {})
        return
    size = op.size(spec.stream.digit)
    for r in b.tiles(_label(spec.stream.digit) + "_blk", size, spec.stream.block):
        tile = _stream_tile(job, r)
        _tiles(job.replaced(**{spec.stream.slot: tile}), {spec.stream.digit: r})


def _label(digit: str) -> str:
    return digit.split("#", maxsplit=1)[0]


def _stream_tile(job: Job, r: Range) -> Placement:
    """A block of the streamed operand, loaded into a buffer of its own."""
    stream = job.spec.stream
    assert stream is not None
    access = job.accesses[stream.slot]
    source = job.places[stream.slot]
    tensor = source.tensor
    layout = operand_layout(tensor, access, job.spec.k_run)
    assert layout is not None
    factor = next(
        f.name for f, i in zip(tensor.factors, access.index, strict=True) if i.digit == stream.digit
    )
    window = {factor: PlacedDim(factor=factor, size=r.size, base=r.start)}
    dims = form_dims(tensor, layout, window)
    run = layout_run(tensor, layout)
    buffer = job.b.buffer(
        f"{tensor.name}_tile",
        buffer_shape(run.partitions, dims),
        tensor.dtype,
        Memory.SBUF,
        tensor=tensor.name,
        note=f"block of {stream.block} along {factor}; partition {layout}",
        copies=stream.copies,
    )
    place = Placement(buffer=buffer, tensor=tensor, layout=layout, dims=dims)
    lower_load(job.b, source, place, {factor: r})
    return place


def _blocks(
    job: Job, digit: str, block: int, within: Mapping[str, Range], label: str
) -> Iterator[Range]:
    """Tiles of a digit, inside the streamed block if the digit is streamed."""
    outer = within.get(digit)
    if outer is None:
        yield from job.b.tiles(label, job.op.size(digit), block)
        return
    for r in job.b.tiles(label, outer.size, block):
        yield Range(start=outer.start + r.start, size=r.size, turn=r.turn)


def _tiles(job: Job, within: Mapping[str, Range]) -> None:
    """Loop over partition blocks of the output, then over PSUM tiles."""
    run = job.spec.m_run
    if not run.digits:
        _free_tiles(job, within, Box(run=run, rows=1), [*job.spec.loops], {})
        return
    outer = run.digits[0]
    for r in _blocks(job, outer, run.block, within, _label(outer)):
        box = Box(run=run, rows=r.size, start=r.start)
        _free_tiles(job, within, box, [*job.spec.loops], {outer: r})


def _free_tiles(
    job: Job, within: Mapping[str, Range], box: Box, loops: list[str], at: dict[str, Range]
) -> None:
    """Loop over the digits no tile spans, then over the tiles themselves."""
    if loops:
        for r in _blocks(job, loops[0], 1, within, _label(loops[0])):
            _free_tiles(job, within, box, loops[1:], {**at, loops[0]: r})
        return
    tiles = [t for t in (*job.spec.items, *job.spec.moving) if t.digit not in at]
    if not tiles:
        _tile(job, box, at)
        return
    tile = tiles[0]
    for r in _blocks(job, tile.digit, tile.block, within, _label(tile.digit)):
        _free_tiles(job, within, box, [], {**at, tile.digit: r})


def _tile(job: Job, box: Box, at: dict[str, Range]) -> None:
    """One PSUM tile: every matmul of it, then the epilogue."""
    spec, op = job.spec, job.op
    tensor = job.program.tensors[op.output.tensor]
    tiled = [t.digit for t in (*spec.items, *spec.moving)]
    dims: list[PlacedDim] = []
    for digit in tiled:
        k = next(k for k, i in enumerate(op.output.index) if i.digit == digit)
        index, factor = op.output.index[k], tensor.factors[k].name
        base = at[digit].start * index.step + index.offset
        dims.append(PlacedDim(factor=factor, size=at[digit].size, base=base))
    psum = job.b.buffer(
        f"{op.output.tensor}_ps",
        buffer_shape(box.partitions, dims),
        FLOAT32,
        Memory.PSUM,
        tensor=tensor.name,
        note=f"accumulates {tensor.name}",
        copies=PSUM_COPIES,
    )
    layout = operand_layout(tensor, op.output, spec.m_run)
    assert layout is not None
    place = Placement(buffer=psum, tensor=tensor, layout=layout, dims=tuple(dims))
    _items(job, place, box, at, list(spec.items))
    full = replace(box, ranges=at, order=tuple(tiled))
    slots = {
        s.name: place
        for s in spec.epilogue.cover.reads
        if s.access.tensor == tensor.name and s.name not in job.places
    }
    emit_cover(job.b, spec.epilogue, {**job.places, **slots}, full)


def _items(
    job: Job, psum: Placement, box: Box, at: Mapping[str, Range], items: list[Tiled]
) -> None:
    if not items:
        _accumulate(job, psum, box, at, list(job.spec.accumulate), {}, Affine())
        return
    digit = items[0].digit
    for r in job.b.tiles(_label(digit) + "_in", at[digit].size, 1):
        one = Range(start=at[digit].start + r.start, size=1)
        _items(job, psum, box, {**at, digit: one}, items[1:])


def _accumulate(  # noqa: PLR0913, PLR0917
    job: Job,
    psum: Placement,
    box: Box,
    at: Mapping[str, Range],
    loops: list[str],
    ks: Mapping[str, Range],
    before: Affine,
) -> None:
    """Contract digit by digit; ``before`` is positive unless this is the first matmul."""
    if loops:
        for r in job.b.tiles(_label(loops[0]), job.op.size(loops[0]), 1):
            _accumulate(job, psum, box, at, loops[1:], {**ks, loops[0]: r}, before + r.turn)
        return
    run = job.spec.k_run
    if not run.digits:
        _matmul(job, psum, box, at, Box(run=run, ranges=ks), before)
        return
    together = 2 if job.spec.double_row else 1
    for r in job.b.tiles(_label(run.digits[0]), job.op.size(run.digits[0]), together * run.block):
        if r.size == together * run.block:
            k_box = Box(run=run, rows=run.block, chunks=together, start=r.start, ranges=ks)
            _matmul(job, psum, box, at, k_box, before + r.turn)
            continue
        # What is left of the last pair: a chunk, or a part of one, or both.
        for done in range(0, r.size, run.block):
            rows = min(run.block, r.size - done)
            k_box = Box(run=run, rows=rows, start=r.start + done, ranges=ks)
            _matmul(job, psum, box, at, k_box, before + r.turn + done)


def _matmul(
    job: Job, psum: Placement, box: Box, at: Mapping[str, Range], k_box: Box, before: Affine
) -> None:
    spec = job.spec
    columns = tuple(t.digit for t in spec.moving)
    ranges = {**at, **k_box.ranges}
    m_ranges = dict(ranges)
    for d in spec.m_run.digits[1:]:
        m_ranges[d] = Range(size=job.op.size(d))
    stationary = replace(k_box, ranges=m_ranges, order=(CHUNK, *spec.m_run.digits))
    moving = replace(k_box, ranges=ranges, order=(CHUNK, *columns))
    accesses = job.accesses
    job.b.emit(
        "nc_matmul",
        "tensor",
        {
            "dst": view(psum, job.op.output, replace(box, ranges=at, order=columns)),
            "stationary": view(job.places["stationary"], accesses["stationary"], stationary),
            "moving": view(job.places["moving"], accesses["moving"], moving),
            "accumulate": before,
            **({"perf_mode": "double_row"} if k_box.chunks > 1 else {}),
        },
        ops=(job.op.name,),
    )
