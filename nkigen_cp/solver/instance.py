"""The instance: everything there is to choose, as data, before any model exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.admit import Admit, everything
from nkigen_cp.solver.candidates import Candidate, Context, Need, repeated
from nkigen_cp.solver.choices import Around, Choice, Uses, choice_of
from nkigen_cp.solver.constants import recognise
from nkigen_cp.solver.contract import contract_candidates
from nkigen_cp.solver.elementwise import elementwise_candidates
from nkigen_cp.solver.exchange import exchange_candidate
from nkigen_cp.solver.gather import gather_candidates
from nkigen_cp.solver.homes import Path, Spans, homes_of, piece_loops, spans_of
from nkigen_cp.solver.order import execution_order
from nkigen_cp.solver.pins import Judge, Ruling, judges_of, rulings_of
from nkigen_cp.solver.plan import Contract, Generate
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.plan.pins import Demand
from nkigen_cp.solver.reuse import Reuse, reuses
from nkigen_cp.solver.scatter import scatter_candidates
from nkigen_cp.solver.stores import reinterpret_candidate, split_stores, store_candidates
from nkigen_cp.solver.updating import without_waiting_for_itself
from nkigen_cp.targets.target import Target


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
    spans: Spans
    reuses: tuple[Reuse, ...]
    rulings: tuple[Ruling, ...] = ()

    @property
    def barred(self) -> frozenset[int]:
        """Candidates that pins rule out."""
        return frozenset[int]().union(*(r.barred for r in self.rulings))

    def position(self, op: str) -> int:
        return self.positions[op]

    def path(self, op: str) -> Path:
        return self.spans.paths[self.positions[op]]


TURNED_BYTES = 1 << 20
"""Smaller tensors are turned as a whole."""


def planned(program: Program) -> Program:
    """The program as plans see it: copies into outputs have become stores."""
    return split_stores(program)[0]


def build_instance(
    program: Program,
    target: Target,
    *,
    admit: Admit = everything,
    pinned: Sequence[Demand] = (),
) -> Instance:
    """All candidates and moves of a program on a target.

    Candidates that ``admit`` leaves out are not used. What is ``pinned`` rules others out.

    Raises:
        Infeasible: an op has no candidate at all; names it and the user's line.
    """
    tables = [a.tensor for op in program.ops.values() for a in op.accesses if a.picks]
    generated = {
        n: g
        for n, a in program.constants.items()
        if n not in tables and (g := recognise(program, n, a))
    }
    bound = (n for n in program.constants if n not in generated)
    in_hbm = frozenset({*program.given, *program.windows, *bound})
    wanted = dict.fromkeys(d.value for d in pinned if d.kind == "tile")
    tiles = tuple(n for n in wanted if isinstance(n, int) and n < target.partitions)
    context = Context(program=program, target=target, in_hbm=in_hbm, tiles=tiles)
    program, stores = split_stores(program)
    if program.loops:
        large = [t for t in program.tensors.values() if t.size_bytes >= TURNED_BYTES]
        pieces = piece_loops(program, [t.name for t in large])
        program = replace(program, loops={**program.loops, **pieces})
    context = replace(context, program=program)
    candidates: list[Candidate] = []
    for op in program.ops.values():
        found = admit(op, _candidates(context, op))
        if not found and not any(op.name in c.ops for c in candidates):
            raise Infeasible(
                f"op {op.name!r} ({op.kind}){op.where()}: no instruction of {target.name} "
                f"covers it with any axis on the partitions"
            )
        candidates += found
    universe = _universe(program, candidates)
    for store in stores:
        candidates += store_candidates(context, store, universe[store.source.tensor])
    candidates = without_waiting_for_itself(program, candidates)
    if program.loops:
        candidates = [_placed(c) for c in candidates]
    judges = judges_of(program, pinned)
    kept = tuple(
        replace(c, busy_ns=repeated(c.busy_ns, program.trips(c.path)))
        for c in _undominated(program, candidates, judges)
    )
    order = execution_order(program, kept, [s.op for s in stores])
    paths = {n: o.path for n, o in program.ops.items()} | {s.op: s.path for s in stores}
    around = Around(
        context=context,
        generated=generated,
        homes=homes_of(program, stores),
        positions={o: k for k, o in enumerate(order)},
        spans=spans_of([paths[o] for o in order]),
    )
    uses = _uses(program, kept)
    choices = {
        t: choice_of(around, program.tensors[t], uses[t]) for t in program.tensors if t in uses
    }
    return Instance(
        program=program,
        target=target,
        order=order,
        positions=around.positions,
        candidates=kept,
        choices=choices,
        stored=tuple(s.op for s in stores),
        generated=generated,
        spans=around.spans,
        reuses=reuses(program, kept, choices, around.positions, target),
        rulings=rulings_of(program, kept, choices, judges),
    )


def _placed(c: Candidate) -> Candidate:
    """The candidate with arrangements only: where forms live is not its affair."""

    def anywhere(needs: tuple[Need, ...]) -> tuple[Need, ...]:
        return tuple(replace(n, layout=n.layout.shape) if n.layout else n for n in needs)

    return replace(c, needs=anywhere(c.needs), makes=anywhere(c.makes))


_OF_FAMILY: dict[Family, Callable[[Context, FactorOp], Sequence[Candidate]]] = {
    **dict.fromkeys(Family, elementwise_candidates),
    Family.CONTRACT: contract_candidates,
    Family.RESHAPE: lambda context, op: [reinterpret_candidate(context, op)],
    Family.COLLECTIVE: lambda context, op: [exchange_candidate(context, op)],
    Family.GATHER: gather_candidates,
    Family.SCATTER: scatter_candidates,
}


def _candidates(context: Context, op: FactorOp) -> Sequence[Candidate]:
    found = _OF_FAMILY[OPS[op.kind].family](context, op)
    if not context.program.loops:
        return found
    # An instruction runs in one nest; streams within it are its loops.
    paths = {n: o.path for n, o in context.program.ops.items()}
    return [
        replace(c, path=op.path)
        for c in found
        if all(paths[o] == op.path for o in c.ops)
        and not (op.path and isinstance(c.spec, Contract) and c.spec.stream)
    ]


def _universe(program: Program, candidates: list[Candidate]) -> dict[str, list[Layout]]:
    found: dict[str, list[Layout]] = {t: [] for t in program.tensors}
    for c in candidates:
        for need in (*c.needs, *c.makes):
            if need.layout is not None and need.layout not in found[need.tensor]:
                found[need.tensor].append(need.layout)
    return found


def _uses(program: Program, candidates: tuple[Candidate, ...]) -> dict[str, Uses]:
    producers = {t: {o.name for o in program.producers(t)} for t in program.tensors}
    uses: dict[str, Uses] = {}
    for i, c in enumerate(candidates):
        for need in dict.fromkeys((n.tensor, n.layout) for n in c.needs):
            found = uses.setdefault(need[0], Uses()).readers
            found.setdefault((need[1], c.ops[-1]), []).append(i)
        for make in c.makes:
            uses.setdefault(make.tensor, Uses()).roots[c.ops[-1]] = None
            found = uses[make.tensor].makers
            for op in c.ops:
                if op in producers[make.tensor]:
                    found.setdefault((make.layout, op), []).append(i)
    return uses


def _undominated(
    program: Program, candidates: list[Candidate], judges: Sequence[Judge]
) -> list[Candidate]:
    """Drop what another candidate beats in every respect, the first of equals staying.

    Only what obeys the same pins is compared.
    """
    groups: dict[object, list[Candidate]] = {}
    for c in candidates:
        obeyed = tuple(j.allows(program, c) for j in judges)
        groups.setdefault((c.ops, c.needs, c.makes, obeyed), []).append(c)
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
