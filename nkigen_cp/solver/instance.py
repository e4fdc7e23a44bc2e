"""The instance: everything there is to choose, as data, before any model exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import FactorOp, FactorTensor, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.candidates import Candidate, Context, Move
from nkigen_cp.solver.constants import recognise
from nkigen_cp.solver.contract import contract_candidates
from nkigen_cp.solver.elementwise import elementwise_candidates
from nkigen_cp.solver.moves import (
    generate_moves,
    identity_store,
    load_moves,
    replicate_moves,
    transpose_moves,
)
from nkigen_cp.solver.order import execution_order
from nkigen_cp.solver.plan import Generate
from nkigen_cp.solver.plan.layout import Layout, partition_bytes
from nkigen_cp.solver.store_cost import store_busy_ns
from nkigen_cp.solver.stores import (
    natural_layouts,
    reinterpret_candidate,
    split_stores,
    store_candidates,
)
from nkigen_cp.targets.target import Target

Place = tuple[Layout | None, str]
"""A layout (None: HBM) and an op."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One tensor's possible forms. ``sizes`` per layout are bytes per partition.

    ``makers`` and ``readers`` list the candidates that write it by (layout, producer) and read it
    by (layout, last op), ``arrivals`` the moves into a layout; ``first`` and ``last`` are the steps
    between which it may be alive, ``settled`` the last one that may still write it.
    """

    tensor: FactorTensor
    in_hbm: bool
    layouts: tuple[Layout, ...]
    sizes: Mapping[Layout, int]
    moves: tuple[Move, ...]
    arrivals: Mapping[Layout, tuple[int, ...]]
    spills: Mapping[Layout, int]  # DMA ns to store the form to HBM; empty for HBM tensors
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    makers: Mapping[Place, tuple[int, ...]]
    readers: Mapping[Place, tuple[int, ...]]
    first: int
    settled: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Ops in execution order, their candidates, and every tensor's possible forms."""

    program: Program
    target: Target
    order: tuple[str, ...]
    positions: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    choices: Mapping[str, Choice]
    stored: tuple[str, ...]
    generated: Mapping[str, Generate]

    def position(self, op: str) -> int:
        return self.positions[op]


def planned(program: Program) -> Program:
    """The program as plans see it: copies into outputs have become stores."""
    return split_stores(program)[0]


def build_instance(program: Program, target: Target) -> Instance:
    """All candidates and moves of a program on a target.

    Raises:
        Infeasible: an op has no candidate at all; names it and the user's line.
    """
    generated = {n: g for n, a in program.constants.items() if (g := recognise(program, n, a))}
    bound = (n for n in program.constants if n not in generated)
    in_hbm = frozenset({*program.inputs, *program.windows, *bound})
    context = Context(program=program, target=target, in_hbm=in_hbm)
    program, stores = split_stores(program)
    context = replace(context, program=program)
    candidates: list[Candidate] = []
    for op in program.ops.values():
        found = _candidates(context, op)
        if not found and not any(op.name in c.ops for c in candidates):
            raise Infeasible(
                f"op {op.name!r} ({op.kind}){op.where()}: no instruction of {target.name} "
                f"covers it with any axis on the partitions"
            )
        candidates += found
    universe = _universe(program, candidates)
    for store in stores:
        candidates += store_candidates(context, store, universe[store.source.tensor])
    kept = tuple(_undominated(candidates))
    order = execution_order(program, kept, [s.op for s in stores])
    positions = {o: k for k, o in enumerate(order)}
    uses = _uses(program, kept)
    choices = {
        t: _choice(context, program.tensors[t], uses[t], positions, generated)
        for t in program.tensors
        if t in uses
    }
    return Instance(
        program=program,
        target=target,
        order=order,
        positions=positions,
        candidates=kept,
        choices=choices,
        stored=tuple(s.op for s in stores),
        generated=generated,
    )


def _candidates(context: Context, op: FactorOp) -> list[Candidate]:
    family = OPS[op.kind].family
    if family is Family.CONTRACT:
        return contract_candidates(context, op)
    if family is Family.RESHAPE:
        return [reinterpret_candidate(context, op)]
    return elementwise_candidates(context, op)


def _universe(program: Program, candidates: list[Candidate]) -> dict[str, list[Layout]]:
    found: dict[str, list[Layout]] = {t: [] for t in program.tensors}
    for c in candidates:
        for need in (*c.needs, *c.makes):
            if need.layout is not None and need.layout not in found[need.tensor]:
                found[need.tensor].append(need.layout)
    return found


@dataclass(slots=True)
class _Uses:
    """Candidates that write and read one tensor, by place; last ops of those that write it."""

    makers: dict[Place, list[int]] = field(default_factory=dict[Place, list[int]])
    readers: dict[Place, list[int]] = field(default_factory=dict[Place, list[int]])
    roots: dict[str, None] = field(default_factory=dict[str, None])


def _uses(program: Program, candidates: tuple[Candidate, ...]) -> dict[str, _Uses]:
    producers = {t: {o.name for o in program.producers(t)} for t in program.tensors}
    uses: dict[str, _Uses] = {}
    for i, c in enumerate(candidates):
        for need in dict.fromkeys((n.tensor, n.layout) for n in c.needs):
            found = uses.setdefault(need[0], _Uses()).readers
            found.setdefault((need[1], c.ops[-1]), []).append(i)
        for make in c.makes:
            uses.setdefault(make.tensor, _Uses()).roots[c.ops[-1]] = None
            found = uses[make.tensor].makers
            for op in c.ops:
                if op in producers[make.tensor]:
                    found.setdefault((make.layout, op), []).append(i)
    return uses


def _choice(
    context: Context,
    tensor: FactorTensor,
    uses: _Uses,
    positions: Mapping[str, int],
    generated: Mapping[str, Generate],
) -> Choice:
    made = [x for x, _ in uses.makers if x is not None]
    needed = list(dict.fromkeys(x for x, _ in uses.readers if x is not None))
    in_hbm = tensor.name in context.in_hbm
    layouts = list(dict.fromkeys([*made, *needed]))
    sources = list(dict.fromkeys(made))
    if in_hbm or not made:
        sources = [x for x in natural_layouts(tensor, context.target) if x not in sources] + sources
    row = Layout()
    if any(x.replicas > 1 for x in layouts) and row not in layouts:
        layouts.append(row)
    layouts += [s for s in sources if s not in layouts]
    moves: list[Move] = []
    if tensor.name in generated:
        for x in layouts:
            moves += generate_moves(context, tensor, x, generated[tensor.name])
    else:
        for x in layouts:
            moves += load_moves(context, tensor, x)
            moves += replicate_moves(context, tensor, x)
            for s in sources:
                if x in needed:
                    moves += transpose_moves(context, tensor, s, x)
    spills: dict[Layout, int] = {}
    if not in_hbm and tensor.name not in generated:
        store = identity_store(tensor, "")
        spills = {
            x: round(store_busy_ns(context.target, tensor, tensor, x, store))
            for x in dict.fromkeys(made)
            if x.replicas == 1
        }
    producers = tuple(o.name for o in context.program.producers(tensor.name))
    consumers = tuple(dict.fromkeys(root for _, root in uses.readers))
    writing = [positions[p] for p in producers if p in positions]
    reading = [positions[c] for c in consumers]
    roots = [positions[r] for r in uses.roots]
    return Choice(
        tensor=tensor,
        in_hbm=in_hbm,
        layouts=tuple(layouts),
        sizes={x: partition_bytes(tensor, x) for x in layouts},
        moves=tuple(moves),
        arrivals=_by_target(moves),
        spills=spills,
        producers=producers,
        consumers=consumers,
        makers={k: tuple(v) for k, v in uses.makers.items()},
        readers={k: tuple(v) for k, v in uses.readers.items()},
        first=min(writing or reading),
        settled=max([*writing, *roots]) if writing else min(reading),
        last=max([*reading, *writing]),
    )


def _by_target(moves: list[Move]) -> dict[Layout, tuple[int, ...]]:
    found: dict[Layout, list[int]] = {}
    for j, move in enumerate(moves):
        found.setdefault(move.target, []).append(j)
    return {x: tuple(js) for x, js in found.items()}


def _undominated(candidates: list[Candidate]) -> list[Candidate]:
    """Drop what another candidate beats in every respect, the first of equals staying."""
    groups: dict[object, list[Candidate]] = {}
    for c in candidates:
        groups.setdefault((c.ops, c.needs, c.makes), []).append(c)
    kept: list[Candidate] = []
    for group in groups.values():
        for i, c in enumerate(group):
            if not any(_beats(o, c, j < i) for j, o in enumerate(group) if j != i):
                kept.append(c)
    return kept


def _beats(a: Candidate, b: Candidate, first: bool) -> bool:
    engines = (*a.busy_ns, *b.busy_ns)
    no_worse = (
        all(a.busy_ns.get(e, 0) <= b.busy_ns.get(e, 0) for e in engines)
        and a.sbuf_bytes <= b.sbuf_bytes
    )
    strictly = (
        any(a.busy_ns.get(e, 0) < b.busy_ns.get(e, 0) for e in engines)
        or a.sbuf_bytes < b.sbuf_bytes
    )
    return no_worse and (strictly or first)
