"""Gathers to instructions: DMAs of rows or blocks at positions that data says, or on the chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.nki.kernel import View
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.dma import transfer_boxes
from nkigen_cp.lowering.place import PICKED, Box, Placement, pieces, view
from nkigen_cp.solver.plan import Gather, Store, Tiled


@dataclass(frozen=True, slots=True)
class _Gathering:
    b: Builder
    op: FactorOp
    spec: Gather
    places: Mapping[str, Placement]

    @property
    def ranges(self) -> dict[str, Range]:
        return {d.name: Range(size=d.size) for d in self.op.digits}

    @property
    def free(self) -> tuple[str, ...]:
        """Digits that one instruction runs over within a partition."""
        apart = (*self.spec.run.digits, *self.spec.loops)
        return tuple(d for d in self.op.output.digits if d not in apart)

    def table(self, box: Box) -> View:
        """All positions that data may pick, and at each of them what the box says."""
        access = self.op.accesses[0]
        count = next(i.picked for i in access.index if i.picked)
        ranges = {**box.ranges, PICKED: Range(size=count)}
        return view(self.places["table"], access, replace(box, ranges=ranges))

    def index(self, box: Box) -> View:
        return view(self.places["index"], self.op.accesses[1], box)

    def result(self, box: Box) -> View:
        return view(self.places["dst"], self.op.output, box)

    def emit(self, kind: str, engine: str, args: Mapping[str, View]) -> None:
        self.b.emit(kind, engine, args, ops=(self.op.name,))


def lower_gather(
    b: Builder, program: Program, spec: Gather, places: Mapping[str, Placement]
) -> None:
    """All of the result, one instruction per position of the looped digits."""
    _LOWERED[spec.by](_Gathering(b, program.ops[spec.op], spec, places))


def _rows(g: _Gathering) -> None:
    for box in _boxes(g):
        free = Box(ranges=box.ranges, order=g.free)
        column = replace(box, order=())
        args = {"dst": g.result(box), "src": g.table(free), "index": g.index(column)}
        g.emit("dma_gather", "dma", args)


def _blocks(g: _Gathering) -> None:
    op = g.op
    back = Store(
        source=op.output,
        target=op.accesses[0],
        digits={d.name: d.size for d in op.digits},
        op=op.name,
        loops=tuple(Tiled(digit=d, block=1) for d in g.spec.loops),
    )
    for box in transfer_boxes(g.b, g.places["dst"], g.places["table"], back):
        one = Box(ranges=box.ranges)
        args = {"dst": g.result(box), "src": g.table(box), "index": g.index(one)}
        g.emit("dma_fetch", "dma", args)


def _elements(g: _Gathering) -> None:
    for box in _boxes(g):
        args = {
            "dst": g.result(box),
            "data": g.table(replace(box, order=(PICKED,))),
            "indices": g.index(box),
        }
        g.emit("nc_n_gather", "gpsimd", args)


_LOWERED: Mapping[str, Callable[[_Gathering], None]] = {
    "row": _rows,
    "block": _blocks,
    "element": _elements,
}


def _boxes(g: _Gathering) -> Iterator[Box]:
    """Block by block of the run, and one position of every looped digit at a time."""
    run = g.spec.run
    size = g.op.size(run.digits[0]) if run.digits else 1
    for first, chunks, rows in pieces(size, run):
        for r in g.b.tiles("chunk", chunks, 1):
            start = r.start * run.block + first * run.block
            box = Box(run=run, rows=rows, start=start, ranges=g.ranges, order=g.free)
            yield from _single(g.b, box, g.spec.loops)


def _single(b: Builder, box: Box, loops: Sequence[str]) -> Iterator[Box]:
    if not loops:
        yield box
        return
    digit = loops[0]
    whole = box.ranges[digit]
    for r in b.tiles(digit.split("#", maxsplit=1)[0], whole.size, 1):
        one = Range(start=whole.start + r.start, size=1)
        yield from _single(b, replace(box, ranges={**box.ranges, digit: one}), loops[1:])
