"""What every demand rules out of an instance: candidates, forms, spills and visits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.choices import Choice
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.pins.satisfied import Judge
from nkigen_cp.solver.plan import Contract, Elementwise
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.plan.pins import Demand
from nkigen_cp.targets.target import Target

FormKey = tuple[str, Layout]

WITHOUT_LOOPS = ("engine", "instruction", "stationary")
"""Kinds of demands that the same candidates meet inside of loops and outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A demand in an instance.

    ``barred`` are candidates by number, ``forms`` what is neither kept nor passed on, ``unspilled``
    and ``unvisited`` tensors that are not stored to HBM or loaded by single ops, ``stored`` those
    that must be in HBM. ``ops`` are those of which every candidate may be barred.
    """

    demand: Demand
    ops: tuple[str, ...]
    barred: frozenset[int]
    forms: tuple[FormKey, ...] = ()
    unspilled: tuple[str, ...] = ()
    unvisited: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()


def rulings_of(
    program: Program,
    candidates: Sequence[Candidate],
    choices: Mapping[str, Choice],
    judges: Sequence[Judge],
) -> tuple[Ruling, ...]:
    """Every demand in the terms of an instance."""
    return tuple(_ruling(program, candidates, choices, j) for j in judges)


def _ruling(
    program: Program, candidates: Sequence[Candidate], choices: Mapping[str, Choice], judge: Judge
) -> Ruling:
    found = Ruling(
        demand=judge.demand,
        ops=tuple(judge.ops),
        barred=frozenset(i for i, c in enumerate(candidates) if not judge.allows(program, c)),
    )
    if judge.demand.kind != "residency":
        return found
    held = [choices[t] for t in judge.tensors if t in choices]
    return _RESIDENCY[str(judge.demand.value)](found, candidates, judge, held)


def _resident(
    ruling: Ruling, candidates: Sequence[Candidate], judge: Judge, held: Sequence[Choice]
) -> Ruling:
    """Forms that last for the whole kernel and nothing else: no tiles, windows, HBM in between."""
    barred = [
        i
        for i, c in enumerate(candidates)
        if any(t in judge.tensors for t in _hidden(c))
        or any(n.tensor in judge.tensors and n.layout is None for n in (*c.needs, *c.makes))
    ]
    names = tuple(c.tensor.name for c in held)
    return Ruling(
        demand=ruling.demand,
        ops=ruling.ops,
        barred=frozenset(barred),
        forms=tuple((c.tensor.name, x) for c in held for x in c.layouts if x.home),
        unspilled=names,
        unvisited=names,
    )


def _streamed(
    ruling: Ruling, candidates: Sequence[Candidate], judge: Judge, held: Sequence[Choice]
) -> Ruling:
    """Nothing that lasts longer than an iteration or the one op that reads it."""
    del candidates, judge
    return Ruling(
        demand=ruling.demand,
        ops=ruling.ops,
        barred=frozenset(),
        forms=tuple((c.tensor.name, x) for c in held for x in c.layouts if not x.home),
    )


def _spilled(
    ruling: Ruling, candidates: Sequence[Candidate], judge: Judge, held: Sequence[Choice]
) -> Ruling:
    """Stored to HBM, and what was written on the chip is not what anyone reads."""
    barred = [i for i, c in enumerate(candidates) if any(t in judge.tensors for t in _hidden(c))]
    made = [(c.tensor.name, f) for c in held for forms in c.made.values() for f in forms]
    return Ruling(
        demand=ruling.demand,
        ops=ruling.ops,
        barred=frozenset(barred),
        forms=tuple(dict.fromkeys(made)),
        stored=tuple(c.tensor.name for c in held),
    )


def _tiles_only(
    ruling: Ruling, candidates: Sequence[Candidate], judge: Judge, held: Sequence[Choice]
) -> Ruling:
    """No form that holds all of it, on the chip or in HBM."""
    makes_all = [
        i
        for i, c in enumerate(candidates)
        if any(m.tensor in judge.tensors and m.layout is None for m in c.makes)
    ]
    return Ruling(
        demand=ruling.demand,
        ops=ruling.ops,
        barred=frozenset(makes_all),
        forms=tuple((c.tensor.name, x) for c in held for x in c.layouts if not x.home),
        unspilled=tuple(c.tensor.name for c in held),
        unvisited=tuple(c.tensor.name for c in held),
    )


_RESIDENCY: Mapping[
    str, Callable[[Ruling, Sequence[Candidate], Judge, Sequence[Choice]], Ruling]
] = {
    "resident": _resident,
    "stream": _streamed,
    "spill": _spilled,
    "fused": _tiles_only,
}


def _hidden(candidate: Candidate) -> tuple[str, ...]:
    """Tensors that exist only inside of the candidate's instruction."""
    spec = candidate.spec.epilogue if isinstance(candidate.spec, Contract) else candidate.spec
    return spec.cover.internal if isinstance(spec, Elementwise) else ()


def obeys(rulings: Sequence[Ruling], decisions: Decisions) -> bool:
    """Whether decisions do what all demands ask for."""
    return all(_obeys(r, decisions) for r in rulings)


def _obeys(ruling: Ruling, found: Decisions) -> bool:
    held = [(t, x) for kept in (found.kept, found.passed) for t, xs in kept.items() for x in xs]
    return not (
        any(i in ruling.barred for i in found.chosen)
        or any(key in ruling.forms for key in held)
        or any(found.spilled.get(t) for t in ruling.unspilled)
        or any(t in ruling.unvisited for t, _, _ in found.visiting)
        or any(not found.spilled.get(t) for t in ruling.stored)
    )


def hopeless(target: Target, candidates: Sequence[Candidate], rulings: Sequence[Ruling]) -> bool:
    """Whether some demand can be met by no candidate of its op, whatever the loops."""
    tiles = [r.demand.value for r in rulings if r.demand.kind == "tile"]
    return any(isinstance(n, int) and n > target.partitions for n in tiles) or any(
        r.demand.kind in WITHOUT_LOOPS
        and any(all(i in r.barred for i, c in enumerate(candidates) if op in c.ops) for op in r.ops)
        for r in rulings
    )
