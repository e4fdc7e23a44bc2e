"""Candidates of gathers: rows by indirect DMA, whole blocks by dynamic address, or on the chip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import FactorOp, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import Extent, form_extents, merged, runs, spans
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.pieces import piece_layouts
from nkigen_cp.solver.plan import Gather, Store, Tiled
from nkigen_cp.solver.plan.layout import Layout, Run, operand_layout
from nkigen_cp.solver.store_cost import store_busy_ns


@dataclass(frozen=True, slots=True)
class _Way:
    """A gather with ``run`` on the partitions of its result."""

    context: Context
    op: FactorOp
    run: Run

    @property
    def table(self) -> FactorTensor:
        return self.context.program.tensors[self.op.accesses[0].tensor]

    @property
    def index(self) -> FactorTensor:
        return self.context.program.tensors[self.op.accesses[1].tensor]

    @property
    def result(self) -> FactorTensor:
        return self.context.program.tensors[self.op.output.tensor]

    @property
    def sizes(self) -> dict[str, int]:
        return {d.name: d.size for d in self.op.digits}

    def digits(self, slot: int) -> list[str]:
        """Digits outside the run that address the table (0) or the index (1), outermost first."""
        own = self.op.accesses[slot].digits
        return [d for d in self.op.output.digits if d in own and d not in self.run.digits]

    def runs_along(self, *slots: int) -> bool:
        """Whether exactly these of table and index have all of the run; the others none of it."""
        has = [set(self.run.digits) & set(a.digits) for a in self.op.accesses]
        return all(has[k] == (set(self.run.digits) if k in slots else set()) for k in (0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """How to carry it out: digits taken one by one, layouts (None: HBM), busy time per engine."""

    loops: tuple[str, ...]
    table: Layout | None
    index: Layout | None
    busy_ns: Mapping[str, float]


def gather_candidates(context: Context, op: FactorOp) -> list[Candidate]:
    """All ways to carry out a gather."""
    found: list[Candidate] = []
    shared = piece_layouts(context, op.output.tensor)
    for run in runs(op, context.target):
        way = _Way(context, op, run)
        written = operand_layout(way.result, op.output, run)
        if written is None or (run.digits and not written.partition):
            continue
        if shared is not None and written not in shared:
            continue
        for by, find in _WAYS.items():
            how = find(way, written)
            if how is not None:
                found.append(_candidate(way, by, written, how))
    return found


def _candidate(way: _Way, by: str, written: Layout, how: _Found) -> Candidate:
    op = way.op
    return Candidate(
        ops=(op.name,),
        spec=Gather(op=op.name, by=by, run=way.run, loops=how.loops),
        needs=(
            Need(slot="table", tensor=way.table.name, layout=how.table),
            Need(slot="index", tensor=way.index.name, layout=how.index),
        ),
        makes=(Need(slot="dst", tensor=way.result.name, layout=written),),
        busy_ns=rounded(how.busy_ns),
    )


def _by_row(way: _Way, written: Layout) -> _Found | None:
    """One row of the table per partition: the index lies on the partitions."""
    at = operand_layout(way.index, way.op.accesses[1], way.run)
    if not way.run.digits or not way.runs_along(1) or at is None:
        return None
    loops = tuple(way.digits(1))
    free = [d for d in way.op.output.digits if d not in (*way.run.digits, *loops)]
    hbm = _table_strides(way)
    chip = form_extents(way.result, written, way.op.output, way.run, free)
    elements = math.prod(way.sizes[d] for d in free)
    total = 0.0
    for rows, times in _chunks(way):
        item = way.table.dtype.size_bytes
        shapes = {
            name: OperandShape(
                memory=memory,
                dtype=way.table.dtype,
                partitions=rows,
                free_size=elements,
                run_bytes=_run_elements(free, way.sizes, strides) * item,
            )
            for name, memory, strides in (("dst", Memory.SBUF, chip), ("src", Memory.HBM, hbm))
        }
        total += times * busy_ns(way.context.target, "dma_gather", "dma", shapes)
    times = math.prod(way.sizes[d] for d in loops)
    return _Found(loops=loops, table=None, index=at, busy_ns={"dma": times * total})


def _by_block(way: _Way, written: Layout) -> _Found | None:
    """All that one index names in one DMA, to wherever the result has it."""
    if not way.runs_along(0):
        return None
    op = way.op
    loops = tuple(way.digits(1))
    back = Store(
        source=op.output,
        target=op.accesses[0],
        digits=way.sizes,
        op=op.name,
        loops=tuple(Tiled(digit=d, block=1) for d in loops),
    )
    busy = store_busy_ns(way.context.target, way.result, way.table, written, back)
    at = operand_layout(way.index, op.accesses[1], Run(partitions=1))
    return _Found(loops=loops, table=None, index=at, busy_ns={"dma": busy})


def _by_element(way: _Way, written: Layout) -> _Found | None:
    """Within each partition, by GpSimd: table and index lie on the same partitions."""
    op, target = way.op, way.context.target
    at = operand_layout(way.index, op.accesses[1], way.run)
    table = operand_layout(way.table, op.accesses[0], way.run)
    if not way.runs_along(0, 1) or at is None or table is None or not _is_one_factor(way):
        return None
    looped = way.digits(0)
    free = [d for d in way.digits(1) if d not in looped]
    if not _fits(way, free, ((way.result, written, 2), (way.index, at, 1))):
        looped = [d for d in way.op.output.digits if d in (*looped, *free[:-1])]
        free = free[-1:]
    loops = tuple(looped)
    size = math.prod(way.sizes[d] for d in free)
    total = 0.0
    for rows, times in _chunks(way):
        dst = OperandShape(
            memory=Memory.SBUF, dtype=way.result.dtype, partitions=rows, free_size=size
        )
        total += times * busy_ns(target, "nc_n_gather", "gpsimd", {"dst": dst})
    times = math.prod(way.sizes[d] for d in loops)
    return _Found(loops=loops, table=table, index=at, busy_ns={"gpsimd": times * total})


_WAYS: Mapping[str, Callable[[_Way, Layout], _Found | None]] = {
    "row": _by_row,
    "block": _by_block,
    "element": _by_element,
}


def _chunks(way: _Way) -> Iterator[tuple[int, int]]:
    """(partitions, times) of the blocks of the run's outermost digit."""
    run = way.run
    if not run.digits:
        yield 1, 1
        return
    inner = run.partitions // run.block
    for span in spans(way.sizes[run.digits[0]], run.block):
        yield span.extent * inner, span.times


def _table_strides(way: _Way) -> dict[str, int]:
    """Elements of the row-major table that a step of each digit moves."""
    strides: dict[str, int] = {}
    step = way.table.size
    for factor, i in zip(way.table.factors, way.op.accesses[0].index, strict=True):
        step //= factor.size
        if i.digit is not None:
            strides[i.digit] = i.step * step
    return strides


def _run_elements(free: Sequence[str], sizes: Mapping[str, int], strides: Mapping[str, int]) -> int:
    """Elements that follow each other."""
    pattern = merged([Extent(size=sizes[d], stride=strides.get(d, 0)) for d in free])
    return pattern[-1].size if pattern and pattern[-1].stride == 1 else 1


def _is_one_factor(way: _Way) -> bool:
    """Whether the positions that data picks have one stride in any form of the table."""
    k = next(k for k, i in enumerate(way.op.accesses[0].index) if i.picked)
    return any(own == (way.table.factors[k],) for own in way.table.dims)


def _fits(way: _Way, free: Sequence[str], held: Sequence[tuple[FactorTensor, Layout, int]]) -> bool:
    """Whether result and index need no more free dims than an instruction has."""
    accesses = (*way.op.accesses, way.op.output)
    for tensor, layout, slot in held:
        strides = form_extents(tensor, layout, accesses[slot], way.run, free)
        pattern = merged([Extent(size=way.sizes[d], stride=strides[d]) for d in free])
        if len(pattern) > way.context.target.access_free_dims_max:
            return False
    return True
