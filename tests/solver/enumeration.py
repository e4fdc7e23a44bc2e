"""The cheapest plan of a tiny program by trying all of them.

Instructions come from ``instructions``; layouts, prices and the objective are evaluated here and by
the checker's own code, never by the solver's. Everything fits into SBUF, no dim needs two tiles.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp, FactorTensor, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import demanded
from nkigen_cp.solver.check.price import ENGINES, step_ns
from nkigen_cp.solver.plan import (
    CHUNK,
    Contract,
    Cover,
    Elementwise,
    Form,
    Layout,
    Load,
    Replicate,
    Run,
    Spec,
    Step,
    Store,
    Tiled,
    Transpose,
    Use,
)
from nkigen_cp.targets import Target
from tests.solver import instructions
from tests.solver.fronts import NOTHING, Busy, Front, added, natural, objective, pareto, runs

Held = tuple[str, Layout]
EVICTORS = ("vector", "scalar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One step: ops it computes, forms it reads and writes, the engine times it may have."""

    ops: tuple[str, ...]
    needs: tuple[Held, ...]
    makes: tuple[Held, ...]
    busy: Front


def stores(program: Program) -> list[Store]:
    """What must be stored: outputs that are views of something else, and all other outputs."""
    found: dict[str, Store] = {}
    for op in refine(program.graph).ops.values():
        if op.kind == "copy" and op.output.tensor in program.outputs:
            digits = {d.name: d.size for d in op.digits}
            found[op.output.tensor] = Store(
                source=op.accesses[0], target=op.output, digits=digits, op=op.name
            )
    for name in program.outputs:
        factors = program.tensors[name].factors
        own = Access(tensor=name, index=tuple(FactorIndex(digit=f.name) for f in factors))
        whole = Store(source=own, target=own, digits={f.name: f.size for f in factors}, op="")
        found.setdefault(name, whole)
    return list(found.values())


@dataclass(slots=True)
class Enumeration:
    """Depth-first over all exact covers of the ops, consumers first."""

    program: Program
    target: Target
    best: int = 10**12
    supplies: dict[Any, Front] = field(default_factory=dict[Any, Front])
    strategies: dict[str, list[Strategy]] = field(default_factory=dict[str, list[Strategy]])

    def minimum(self) -> int:
        """The smallest objective of any plan."""
        for op in self.program.ops.values():
            self._collect(_of_op(self, op))
        stored = stores(self.program)
        for k, store in enumerate(stored):
            self._collect(_of_store(self, store, f"#{k}"))
        tasks = [*(f"#{k}" for k in range(len(stored))), *reversed(list(self.program.ops))]
        self._extend(tasks, frozenset(), (), NOTHING)
        return self.best

    def _collect(self, found: Iterator[Strategy]) -> None:
        """Merge strategies that differ in engine times only, and file them under their ops."""
        merged: dict[Any, list[Busy]] = {}
        for s in found:
            merged.setdefault((s.ops, s.needs, s.makes), []).extend(s.busy)
        for (ops, needs, makes), busy in merged.items():
            s = Strategy(ops=ops, needs=needs, makes=makes, busy=pareto(busy))
            for op in ops:
                self.strategies.setdefault(op, []).append(s)
        for listed in self.strategies.values():
            listed.sort(key=lambda s: objective(s.busy) / len(s.ops))

    def _extend(
        self, tasks: Sequence[str], done: frozenset[str], needs: tuple[Held, ...], busy: Front
    ) -> None:
        if objective(busy) >= self.best:
            return
        left = [t for t in tasks if t not in done]
        if not left:
            given = (*self.program.inputs, *self.program.windows, *self.program.constants)
            self.best = min(self.best, objective(self._supplied(given, {}, needs, busy)))
            return
        for s in self.strategies[left[0]]:
            if not done & set(s.ops):
                reads = (*needs, *s.needs)
                made = dict(s.makes)
                spent = self._supplied(tuple(made), made, reads, added(busy, s.busy))
                self._extend(left, done | set(s.ops), reads, spent)

    def _supplied(
        self,
        tensors: Sequence[str],
        made: Mapping[str, Layout],
        needs: Sequence[Held],
        busy: Front,
    ) -> Front:
        """Add what it takes to have tensors in all layouts their readers, all known, need."""
        for tensor in tensors:
            wanted = frozenset(x for t, x in needs if t == tensor)
            key = (tensor, made.get(tensor), wanted)
            if key not in self.supplies:
                self.supplies[key] = pareto(list(_supply(self, *key)))
            busy = added(busy, self.supplies[key])
        return busy

    def price(self, spec: Spec, forms: Mapping[str, Held | None]) -> Busy:
        """Rounded engine times of a step whose slots "src" and "dst" are held so; None is HBM."""
        held = {
            slot: Form(
                name=slot,
                tensor=at[0] if at else spec_tensor(spec),
                layout=at[1] if at else None,
                partition_bytes=0,
                first_step=0,
                last_step=0,
            )
            for slot, at in forms.items()
        }
        facts = Facts(
            program=self.program,
            plan=cast("Any", None),
            target=self.target,
            forms=held,
            loops={},
            whole=None,
            producers={},
            consumers={},
        )
        uses = {slot: (Use(slot=slot, form=slot),) for slot in held}
        step = Step(
            name="",
            group=0,
            spec=spec,
            reads=uses.get("src", ()),
            writes=uses.get("dst", ()),
            busy_ns={},
        )
        found = step_ns(facts, step)
        return tuple(round(found.get(e, 0.0)) for e in ENGINES)


def spec_tensor(spec: Spec) -> str:
    """The tensor that a step's HBM end holds."""
    if isinstance(spec, Load):
        return spec.tensor
    assert isinstance(spec, Store)
    return spec.target.tensor


def _supply(
    e: Enumeration, tensor: str, native: Layout | None, wanted: frozenset[Layout]
) -> Iterator[Busy]:
    """Engine times of having a tensor in all wanted layouts: every set of moves."""
    held = e.program.tensors[tensor]
    absent = sorted((x for x in wanted if x != native), key=str)
    loadable = natural(held, e.target)
    loadable += [x for x in absent if x.replicas == 1 and x not in loadable]
    loads = {x: e.price(Load(tensor=tensor), {"src": None, "dst": (tensor, x)}) for x in loadable}
    arrivals = [list(_arrivals(e, tensor, x, native, loadable)) for x in absent]
    spill = _spill(e, tensor, native) if native is not None else NOTHING[0]
    for ways in itertools.product(*arrivals):
        loaded = {x for source, _ in ways if (x := source) is not None and x != native}
        if loaded and spill is None:
            continue
        parts = [busy for _, busy in ways] + [loads[x] for x in sorted(loaded, key=str)]
        parts += [spill] if loaded and spill is not None else []
        yield tuple(map(sum, zip(NOTHING[0], *parts, strict=True)))


def _spill(e: Enumeration, tensor: str, native: Layout) -> Busy | None:
    if native.replicas > 1:
        return None
    factors = e.program.tensors[tensor].factors
    own = Access(tensor=tensor, index=tuple(FactorIndex(digit=f.name) for f in factors))
    spec = Store(source=own, target=own, digits={f.name: f.size for f in factors}, op="")
    return e.price(spec, {"src": (tensor, native), "dst": None})


def _arrivals(
    e: Enumeration, tensor: str, x: Layout, native: Layout | None, loadable: Sequence[Layout]
) -> Iterator[tuple[Layout | None, Busy]]:
    """(form it comes from, engine times beyond having that form) for a layout."""
    if x in loadable:
        yield x, NOTHING[0]
    sources = [*loadable] if native is None or native in loadable else [native, *loadable]
    for source in sources:
        ends: dict[str, Held | None] = {"src": (tensor, source), "dst": (tensor, x)}
        for engine in EVICTORS:
            spec = _between(e, tensor, source, x, engine)
            if spec is not None:
                yield source, e.price(spec, ends)


def _between(
    e: Enumeration, tensor: str, source: Layout, x: Layout, engine: str
) -> Transpose | Replicate | None:
    held = e.program.tensors[tensor]
    if source == Layout() and x.replicas > 1:
        tiles = _row_tiles(held, min(e.target.psum_bank_bytes // 4, e.target.moving_free_max))
        return Replicate(tensor=tensor, tiles=tiles, engine=engine)
    apart = not set(source.partition) & set(x.partition)
    if not source.partition or not x.partition or not apart:
        return None
    items = _shared_bank(e, held, source, x)
    return Transpose(tensor=tensor, items=items, engine=engine)


def _row_tiles(tensor: FactorTensor, room: int) -> tuple[Tiled, ...]:
    """Whole innermost factors that fill a bank, the last of them in even blocks."""
    tiles: list[Tiled] = []
    for factor in reversed(tensor.factors):
        if tiles and (room < 2 or tiles[0].block < tensor.factor(tiles[0].digit).size):
            break
        block = math.ceil(factor.size / math.ceil(factor.size / room))
        tiles.insert(0, Tiled(digit=factor.name, block=block))
        room //= block
    return tuple(tiles)


def _shared_bank(
    e: Enumeration, tensor: FactorTensor, source: Layout, x: Layout
) -> tuple[Tiled, ...]:
    """As many transposed blocks as fill a bank: of the innermost other factor, or of chunks."""
    size = {f.name: f.size for f in tensor.factors}
    rows = source.block * math.prod(size[n] for n in source.partition[1:])
    room = e.target.psum_bank_bytes // tensor.dtype.size_bytes // rows
    others = [n for n in size if n not in source.partition and n not in x.partition]
    assert len(others) <= 1, "tiny tensors have at most three factors"
    count, unit, digit = (
        (size[others[0]], 1, others[0])
        if others
        else (size[x.partition[0]] // x.block, x.block, x.partition[0])
    )
    if room < 2 or count < 2:
        return ()
    blocks = max(n for n in range(1, count + 1) if count % n == 0 and n <= room)
    return (Tiled(digit=digit, block=blocks * unit),)


def _of_store(e: Enumeration, store: Store, name: str) -> Iterator[Strategy]:
    tensor = e.program.tensors[store.source.tensor]
    for x in natural(tensor, e.target):
        busy = e.price(store, {"src": (tensor.name, x), "dst": None})
        yield Strategy(ops=(name,), needs=((tensor.name, x),), makes=(), busy=(busy,))


def _of_op(e: Enumeration, op: FactorOp) -> Iterator[Strategy]:
    if op.kind == "contract":
        yield from _contractions(e, op)
        return
    written = {d: op.size(d) for d in op.output.digits}
    for cover in instructions.covers(e.program, e.target, op):
        for run in runs(written, e.target.partitions):
            yield from _elementwise(e, op, cover, run)


def _slot_layouts(e: Enumeration, cover: Cover, run: Run) -> dict[str, Layout] | None:
    found: dict[str, Layout] = {}
    for slot in (*cover.reads, *cover.writes):
        layout = demanded(e.program.tensors[slot.access.tensor], slot.access, run)
        if isinstance(layout, str) or (slot in cover.writes and layout.replicas > 1):
            return None
        found[slot.name] = layout
    return found


def _elementwise(e: Enumeration, op: FactorOp, cover: Cover, run: Run) -> Iterator[Strategy]:
    layouts = _slot_layouts(e, cover, run)
    if layouts is None:
        return
    chunks = math.ceil(op.size(run.digits[0]) / run.block) if run.digits else 1
    columns = [s for s in (*cover.reads, *cover.writes) if s.column]
    varying = {d for s in columns for d in s.access.digits}
    loops = [d for d in op.output.digits if d in varying and d not in run.digits]
    if chunks > 1 and varying & set(run.digits):
        loops.insert(0, CHUNK)
    for engine in instructions.able(e.target, cover):
        spec = Elementwise(cover=cover, run=run, loops=tuple(loops), engine=engine)
        yield Strategy(
            ops=cover.ops,
            needs=tuple((s.access.tensor, layouts[s.name]) for s in cover.reads),
            makes=tuple(
                (s.access.tensor, layouts[s.name])
                for s in cover.writes
                if s.access.tensor not in cover.internal
            ),
            busy=(e.price(spec, {}),),
        )


def _contractions(e: Enumeration, op: FactorOp) -> Iterator[Strategy]:
    """Either operand stationary; the whole other side in one PSUM tile."""
    covers = instructions.epilogues(e.program, e.target, op)
    (k,) = [d.name for d in op.digits if d.reduced]
    block = min(op.size(k), e.target.contraction_max)
    k_run = Run(digits=(k,), block=block, partitions=block)
    for stationary, (a, b) in (("lhs", op.accesses), ("rhs", op.accesses[::-1])):
        (m,) = [d for d in op.output.digits if d in a.digits]
        (n,) = [d for d in op.output.digits if d in b.digits]
        assert op.size(n) <= e.target.moving_free_max
        block = min(op.size(m), e.target.partitions)
        m_run = Run(digits=(m,), block=block, partitions=block)
        sides = [demanded(e.program.tensors[x.tensor], x, k_run) for x in (a, b)]
        for cover in covers:
            layouts = _slot_layouts(e, cover, m_run)
            if layouts is None or not set(cover.reduced) <= {n}:
                continue
            columns = {d for s in cover.reads if s.column for d in s.access.digits}
            for engine in instructions.able(e.target, cover):
                if engine not in EVICTORS:
                    continue
                loops = (n,) if n in columns else ()
                spec = Contract(
                    op=op.name,
                    stationary=stationary,
                    m_run=m_run,
                    k_run=k_run,
                    moving=(Tiled(digit=n, block=op.size(n)),),
                    items=(),
                    loops=(),
                    accumulate=(),
                    stream=None,
                    epilogue=Elementwise(cover=cover, run=m_run, loops=loops, engine=engine),
                )
                needs = [
                    (x.tensor, layout)
                    for x, layout in zip((a, b), sides, strict=True)
                    if isinstance(layout, Layout)
                ]
                needs += [
                    (s.access.tensor, layouts[s.name])
                    for s in cover.reads
                    if s.access.tensor != op.output.tensor
                ]
                yield Strategy(
                    ops=cover.ops,
                    needs=tuple(needs),
                    makes=tuple((s.access.tensor, layouts[s.name]) for s in cover.writes),
                    busy=(e.price(spec, {}),),
                )
