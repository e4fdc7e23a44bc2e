"""Candidates of contractions: operand swap, partition runs, PSUM tiles, streaming, epilogue."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.factor.windows import joints
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import Box, Held, Span, box_busy_ns, form_extents, runs, spans
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.elementwise import able_engines, column_loops, slot_layouts
from nkigen_cp.solver.epilogues import epilogues_of
from nkigen_cp.solver.moves import load_busy_ns
from nkigen_cp.solver.plan import CHUNK, Contract, Cover, Elementwise, Stream, Tiled
from nkigen_cp.solver.plan.layout import Layout, Run, geometry, operand_layout

STREAM_MIN_BYTES = 4096
"""Operands below this many bytes per partition are not worth a loop of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The digits of a contraction seen from one choice of the stationary operand."""

    stationary: Access
    moving: Access
    m: tuple[str, ...]  # digits of the stationary operand alone, in output order
    n: tuple[str, ...]  # digits of the moving operand alone, in output order
    k: tuple[str, ...]  # contracted digits: in the stationary tensor's order, then any others


def contract_candidates(context: Context, op: FactorOp) -> list[Candidate]:
    """All ways to compute a contraction together with what reads its PSUM tiles.

    Raises:
        Infeasible: the Tensor Engine does not multiply the operands' dtypes.
    """
    for access in op.accesses:
        dtype = context.program.tensors[access.tensor].dtype
        if dtype.name not in context.target.matmul_dtypes:
            raise Infeasible(
                f"op {op.name!r}{op.where()} multiplies {access.tensor!r} of dtype {dtype}, which "
                f"{context.target.name}'s Tensor Engine does not take; cast it to float32"
            )
    epilogues = epilogues_of(context.program, op)
    found: list[Candidate] = []
    for stationary in ("lhs", "rhs"):
        sides = _sides(op, stationary)
        for m_run, k_run in itertools.product(
            _runs_within(context, op, sides.m), _k_runs(context, op, sides)
        ):
            base = _tile(context, op, sides, stationary, m_run, k_run)
            for form, cover in itertools.product(_row_modes(context, op, sides, base), epilogues):
                found += _with_epilogue(context, op, sides, form, cover)
    return found


def _sides(op: FactorOp, stationary: str) -> Sides:
    lhs, rhs = op.accesses
    a, b = (lhs, rhs) if stationary == "lhs" else (rhs, lhs)
    out = op.output.digits
    reduced = [d.name for d in op.digits if d.reduced]
    held = [d for d in a.digits if d in reduced]
    return Sides(
        stationary=a,
        moving=b,
        m=tuple(d for d in out if d in a.digits and d not in b.digits),
        n=tuple(d for d in out if d in b.digits and d not in a.digits),
        k=(*held, *(d for d in reduced if d not in held)),
    )


def _runs_within(context: Context, op: FactorOp, digits: tuple[str, ...]) -> list[Run]:
    """Runs of these digits; a single row at a time only where other ops write the result too."""
    inside = [
        r
        for r in runs(op, context.target, context.tiles)
        if r.digits and set(r.digits) <= set(digits)
    ]
    pieces = len(context.program.producers(op.output.tensor)) > 1
    return [*inside, Run()] if pieces or not inside else inside


def _k_runs(context: Context, op: FactorOp, sides: Sides) -> list[Run]:
    """Runs of contracted digits, by the order in which the stationary tensor holds them.

    Those on most partitions that both operands can be read with; without any, all accumulate.
    """
    as_output = replace(
        op,
        digits=tuple(replace(d, reduced=False) for d in op.digits if d.name in sides.k),
        output=replace(
            sides.stationary,
            index=tuple(i for i in sides.stationary.index if i.digit in sides.k),
        ),
    )
    found = [r for r in runs(as_output, context.target, context.tiles) if r.digits]
    found = [r for r in found if _readable(context, sides, r)]
    best = max((r.partitions for r in found), default=1)
    return [r for r in found if r.partitions in (best, *context.tiles)] or [Run()]


def _readable(context: Context, sides: Sides, k_run: Run) -> bool:
    """Whether both operands have a layout with the run on the partitions."""
    accesses = (sides.stationary, sides.moving)
    layouts = [operand_layout(context.program.tensors[a.tensor], a, k_run) for a in accesses]
    return all(x is not None and (x.partition or not k_run.digits) for x in layouts)


def _tile(
    context: Context, op: FactorOp, sides: Sides, stationary: str, m_run: Run, k_run: Run
) -> Contract:
    target = context.target
    bank = target.psum_bank_bytes // FLOAT32.size_bytes
    moving, room = _fill(op, sides.n, min(bank, target.moving_free_max), 2)
    taken = {t.digit for t in moving}
    others = [d for d in op.output.digits if d not in taken and d not in m_run.digits]
    whole = all(t.block == op.size(t.digit) for t in moving)
    items, _ = _fill(op, tuple(others), room, 3 - len(moving)) if whole else ((), 0)
    taken |= {t.digit for t in items}
    placeholder = Cover(instruction="", ops=(op.name,), reads=(), writes=())
    return Contract(
        op=op.name,
        stationary=stationary,
        m_run=m_run,
        k_run=k_run,
        moving=moving,
        items=items,
        loops=tuple(d for d in others if d not in taken),
        accumulate=tuple(d for d in sides.k if d not in k_run.digits),
        stream=None,
        epilogue=Elementwise(cover=placeholder, run=m_run, loops=(), engine="vector"),
    )


def _row_modes(context: Context, op: FactorOp, sides: Sides, base: Contract) -> list[Contract]:
    """One row per partition, and two where the operands' types and chunks allow it."""
    names = [context.program.tensors[a.tensor].dtype.name for a in (sides.stationary, sides.moving)]
    paired = base.k_run.digits and op.size(base.k_run.digits[0]) >= 2 * base.k_run.block
    typed = set(names) <= set(context.target.double_row_dtypes)
    if not (paired and typed and _double_row_fits(op, base)):
        return [base]
    return [base, replace(base, double_row=True)]


def _double_row_fits(op: FactorOp, spec: Contract) -> bool:
    """Whether each operand has exactly one digit beside the contraction, never at one position."""
    if len(spec.m_run.digits) != 1 or len(spec.moving) != 1:
        return False
    (tile,) = spec.moving
    pieces = (*_run_spans(op, spec.m_run), *spans(op.size(tile.digit), tile.block))
    return all(piece.extent > 1 for piece in pieces)


def _fill(
    op: FactorOp, digits: tuple[str, ...], room: int, most: int
) -> tuple[tuple[Tiled, ...], int]:
    """Innermost digits, whole while they fit, the last one blocked evenly; and the room left."""
    tiles: list[Tiled] = []
    for digit in reversed(digits):
        size = op.size(digit)
        if room < 2 or len(tiles) == most:
            break
        block = -(-size // -(-size // room)) if size > room else size
        tiles.insert(0, Tiled(digit=digit, block=block))
        room //= block
        if block < size:
            break
    return tuple(tiles), room


def _with_epilogue(
    context: Context, op: FactorOp, sides: Sides, base: Contract, cover: Cover
) -> list[Candidate]:
    layouts = slot_layouts(context, cover, base.m_run)
    if layouts is None or not _reduces_in_tile(op, base, cover):
        return []
    tile_order = tuple(t.digit for t in (*base.items, *base.moving))
    columns = column_loops(op, cover, base.m_run, tile_order)
    looped = tuple(d for d in tile_order if d in columns)
    found: list[Candidate] = []
    for engine in able_engines(context.target, cover):
        epilogue = Elementwise(cover=cover, run=base.m_run, loops=looped, engine=engine)
        spec = replace(base, epilogue=epilogue)
        evict = _epilogue_busy(context, op, spec, layouts)
        for stream in _streams(context, op, sides, spec):
            found.append(
                _candidate(context, op, sides, replace(spec, stream=stream), layouts, evict)
            )
    return found


def _reduces_in_tile(op: FactorOp, base: Contract, cover: Cover) -> bool:
    """Whether every PSUM tile holds whole rows of what the cover reduces, innermost."""
    tiles = (*base.items, *base.moving)
    inner = tiles[len(tiles) - len(cover.reduced) :]
    return {t.digit for t in inner if t.block == op.size(t.digit)} == set(cover.reduced)


def contract_busy_ns(context: Context, op: FactorOp, sides: Sides, spec: Contract) -> float:
    """Tensor Engine time of all matmuls of a contraction."""
    dtype = {
        "stationary": context.program.tensors[sides.stationary.tensor].dtype,
        "moving": context.program.tensors[sides.moving.tensor].dtype,
    }
    m_inner = spec.m_run.partitions // max(1, spec.m_run.block)
    ms = _run_spans(op, spec.m_run)
    ks = _run_spans(op, spec.k_run)
    k_inner = spec.k_run.partitions // max(1, spec.k_run.block)
    repeats = math.prod(op.size(d) for d in (*spec.loops, *spec.accumulate))
    repeats *= math.prod(op.size(t.digit) for t in spec.items)
    columns = [spans(op.size(t.digit), t.block) for t in spec.moving]
    total = 0.0
    for m, k, *n in itertools.product(ms, ks, *columns):
        size = math.prod(s.extent for s in n)
        pairs = k.times // 2 if spec.double_row else 0
        times = (k.times - pairs) * m.times * repeats * math.prod(s.times for s in n)
        shape = _matmul_shapes(m.extent * m_inner, k.extent * k_inner, size, dtype)
        total += times * busy_ns(context.target, "nc_matmul", "tensor", shape)
    return total


def _run_spans(op: FactorOp, run: Run) -> list[Span]:
    return spans(op.size(run.digits[0]), run.block) if run.digits else [Span(extent=1, times=1)]


def _matmul_shapes(m: int, k: int, n: int, dtype: Mapping[str, DType]) -> dict[str, OperandShape]:
    def shape(memory: Memory, d: DType, partitions: int, free: int) -> OperandShape:
        return OperandShape(memory=memory, dtype=d, partitions=partitions, free_size=free)

    return {
        "dst": shape(Memory.PSUM, FLOAT32, m, n),
        "stationary": shape(Memory.SBUF, dtype["stationary"], k, m),
        "moving": shape(Memory.SBUF, dtype["moving"], k, n),
    }


def _epilogue_busy(
    context: Context, op: FactorOp, spec: Contract, layouts: dict[str, Layout]
) -> float:
    program = context.program
    cover = spec.epilogue.cover
    tiles = (*spec.items, *spec.moving)
    order = (CHUNK, *spec.loops, *(t.digit for t in tiles))
    looped = (CHUNK, *spec.loops, *spec.epilogue.loops)
    sizes = {d: [Span(extent=1, times=op.size(d))] for d in spec.loops}
    sizes |= {t.digit: spans(op.size(t.digit), t.block) for t in tiles}
    held: list[Held] = []
    for slot in (*cover.reads, *cover.writes):
        tensor = program.tensors[slot.access.tensor]
        psum = slot in cover.reads and slot.access.tensor == op.output.tensor
        layout = layouts[slot.name]
        strides = form_extents(tensor, layout, slot.access, spec.m_run, order)
        if psum:
            strides = dict.fromkeys(order, 1)
        memory = Memory.PSUM if psum else Memory.SBUF
        held.append(Held(slot=slot, tensor=tensor, memory=memory, strides=strides))
    inner = spec.m_run.partitions // max(1, spec.m_run.block)
    total = 0.0
    for span in _run_spans(op, spec.m_run):
        sizes[CHUNK] = [Span(extent=1, times=span.times)]
        parts = [Span(extent=span.extent * inner, times=1)]
        box = Box(partitions=parts, order=order, sizes=sizes, looped=looped)
        total += box_busy_ns(context.target, cover, spec.epilogue.engine, held, box)[0]
    return total


def _streams(context: Context, op: FactorOp, sides: Sides, spec: Contract) -> list[Stream | None]:
    """Not streaming, and streaming an input along its own outermost digit in growing blocks."""
    found: list[Stream | None] = [None]
    for name, access, own in (
        ("stationary", sides.stationary, sides.m),
        ("moving", sides.moving, sides.n),
    ):
        tensor = context.program.tensors[access.tensor]
        if access.tensor not in context.in_hbm or not set(access.digits) <= {*own, *sides.k}:
            continue
        whole = all(i.offset == 0 and i.step == 1 and not i.slide for i in access.index)
        digit = next((d for d in access.digits if d in own), None)
        layout = operand_layout(tensor, access, spec.k_run)
        if digit is None or layout is None or not whole or joints(context.program, tensor.name):
            continue
        if geometry(tensor, layout).free_elements * tensor.dtype.size_bytes < STREAM_MIN_BYTES:
            continue
        unit = _unit(op, spec, digit)
        found += [
            Stream(slot=name, digit=digit, block=unit * n, copies=2)
            for n in (1, 2, 4, 8)
            if unit * n < op.size(digit)
        ]
    return found


def _unit(op: FactorOp, spec: Contract, digit: str) -> int:
    """The smallest block of a digit that no tile straddles."""
    if spec.m_run.digits and digit == spec.m_run.digits[0]:
        return spec.m_run.block
    tiled = {t.digit: t.block for t in (*spec.items, *spec.moving)}
    return tiled.get(digit, 1)


def _candidate(
    context: Context,
    op: FactorOp,
    sides: Sides,
    spec: Contract,
    layouts: dict[str, Layout],
    evict: float,
) -> Candidate:
    program = context.program
    busy = {"tensor": contract_busy_ns(context, op, sides, spec)}
    busy[spec.epilogue.engine] = evict
    needs: list[Need] = []
    sbuf = 0
    for name, access in (("stationary", sides.stationary), ("moving", sides.moving)):
        tensor = program.tensors[access.tensor]
        layout = operand_layout(tensor, access, spec.k_run)
        assert layout is not None
        if spec.stream is not None and spec.stream.slot == name:
            factor = _streamed_factor(program, access, spec.stream.digit)
            window = {factor: spec.stream.block}
            busy["dma"] = load_busy_ns(context.target, tensor, layout, window)
            sbuf += spec.stream.copies * _window_bytes(program, access, layout, spec.stream)
            needs.append(Need(slot=name, tensor=access.tensor, layout=None))
        else:
            needs.append(Need(slot=name, tensor=access.tensor, layout=layout))
    cover = spec.epilogue.cover
    needs += [
        Need(slot=s.name, tensor=s.access.tensor, layout=layouts[s.name])
        for s in cover.reads
        if s.access.tensor != op.output.tensor
    ]
    makes = tuple(
        Need(slot=s.name, tensor=s.access.tensor, layout=layouts[s.name]) for s in cover.writes
    )
    return Candidate(
        ops=cover.ops,
        spec=spec,
        needs=tuple(needs),
        makes=makes,
        busy_ns=rounded(busy),
        sbuf_bytes=sbuf,
        psum_banks=4,
    )


def _streamed_factor(program: Program, access: Access, digit: str) -> str:
    tensor = program.tensors[access.tensor]
    return next(
        f.name for f, i in zip(tensor.factors, access.index, strict=True) if i.digit == digit
    )


def _window_bytes(program: Program, access: Access, layout: Layout, stream: Stream) -> int:
    tensor = program.tensors[access.tensor]
    factor = tensor.factor(_streamed_factor(program, access, stream.digit))
    elements = geometry(tensor, layout).free_elements // factor.size * stream.block
    return -(-elements * tensor.dtype.size_bytes // 4) * 4
