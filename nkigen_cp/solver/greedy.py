"""A first plan in milliseconds: op by op, the candidate that is cheapest from where things lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.errors import Infeasible
from nkigen_cp.solver.candidates import Candidate, Need
from nkigen_cp.solver.choices import Choice, at_once, in_time
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import PlanData, Spec
from nkigen_cp.solver.plan.layout import Layout

UNREACHABLE = 10**12


@dataclass(slots=True)
class Held:
    """What exists so far: forms, the moves and spills that made them, per tensor."""

    kept: dict[str, list[Layout]] = field(default_factory=dict[str, list[Layout]])
    native: dict[str, Layout] = field(default_factory=dict[str, Layout])
    moved: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    spilled: dict[str, list[Layout]] = field(default_factory=dict[str, list[Layout]])
    written: list[str] = field(default_factory=list[str])  # HBM by their producer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """Moves (indices) that bring a tensor into a layout, and whether it is spilled first."""

    cost_ns: int
    moves: tuple[int, ...] = ()
    forms: tuple[Layout, ...] = ()
    spill: bool = False


def greedy(instance: Instance, like: PlanData | None = None) -> Decisions:
    """A complete assignment, cheapest first; memory is not looked at.

    What an earlier plan does comes before what is cheap.

    Raises:
        Infeasible: some operand can be brought into no layout that any candidate reads.
    """
    known = {s.name: s.spec for s in like.steps} if like is not None else {}
    picked = _pick(instance, known)
    held = Held()
    for name in instance.order:
        for i in picked:
            candidate = instance.candidates[i]
            if candidate.ops[-1] != name:
                continue
            for need in candidate.needs:
                acquire(instance, held, need, name)
            _make(instance, held, candidate)
    passed = _passed(instance, picked, held)
    return Decisions(
        chosen=tuple(sorted(picked)),
        moved={t: tuple(sorted(m)) for t, m in sorted(held.moved.items())},
        kept={
            t: tuple(x for x in k if x not in passed.get(t, ()))
            for t, k in sorted(held.kept.items())
        },
        passed=passed,
        spilled={t: tuple(s) for t, s in sorted(held.spilled.items())},
        visiting=(),
    )


def _passed(instance: Instance, picked: Sequence[int], held: Held) -> dict[str, tuple[Layout, ...]]:
    """Forms that nobody reads and that one move leaves: they need not last."""
    read: dict[str, list[Layout]] = {}
    for i in picked:
        candidate = instance.candidates[i]
        for need in candidate.needs:
            if need.layout is not None:
                forms = instance.choices[need.tensor].served[need.layout, candidate.ops[-1]]
                kept = [f for f in forms if f in held.kept.get(need.tensor, ())]
                read.setdefault(need.tensor, []).append(max(kept, key=lambda f: len(f.home)))
    found: dict[str, tuple[Layout, ...]] = {}
    for tensor, forms in sorted(held.kept.items()):
        choice = instance.choices[tensor]
        moves = [choice.moves[j] for j in held.moved.get(tensor, ())]
        left = [m.source for m in moves]
        busy = (*read.get(tensor, ()), *held.spilled.get(tensor, ()))
        stay = [m.source for m in moves if not at_once(m)]
        passed = tuple(x for x in forms if x not in (*busy, *stay) and left.count(x) == 1)
        if passed:
            found[tensor] = passed
    return found


def _make(instance: Instance, held: Held, candidate: Candidate) -> None:
    for make in candidate.makes:
        if make.layout is None:
            held.written.append(make.tensor)
        else:
            form = instance.choices[make.tensor].made[make.layout][0]
            held.native[make.tensor] = form
            kept = held.kept.setdefault(make.tensor, [])
            if form not in kept:
                kept.append(form)


def _pick(instance: Instance, known: Mapping[str, Spec]) -> list[int]:
    held = Held()
    covered: set[str] = set()
    picked: list[int] = []
    by_first: dict[str, list[int]] = {}
    barred = instance.barred
    for i, c in enumerate(instance.candidates):
        if i in barred:
            continue
        first = min(c.ops, key=instance.position)
        by_first.setdefault(first, []).append(i)
    for name in instance.order:
        if name in covered:
            continue
        best = min(
            (i for i in by_first.get(name, ()) if not covered & set(instance.candidates[i].ops)),
            key=lambda i: _rank(instance, held, i, known),
            default=None,
        )
        if best is None or _score(instance, held, instance.candidates[best]) >= UNREACHABLE:
            op = instance.program.ops.get(name)
            where = op.where() if op else ""
            raise Infeasible(f"op {name!r}{where}: its operands fit no layout it can read")
        candidate = instance.candidates[best]
        for need in candidate.needs:
            acquire(instance, held, need, candidate.ops[-1], optional=True)
        _make(instance, held, candidate)
        covered |= set(candidate.ops)
        picked.append(best)
    return picked


def _rank(
    instance: Instance, held: Held, i: int, known: Mapping[str, Spec]
) -> tuple[bool, bool, float, int]:
    candidate = instance.candidates[i]
    score = _score(instance, held, candidate)
    return score >= UNREACHABLE, known.get(candidate.ops[-1]) != candidate.spec, score, i


def _score(instance: Instance, held: Held, candidate: Candidate) -> float:
    cost = sum(candidate.busy_ns.values())
    for need in candidate.needs:
        cost += route(instance, held, need, candidate.ops[-1]).cost_ns
    for make in candidate.makes:
        fixed = held.native.get(make.tensor)
        if (
            fixed is not None
            and make.layout is not None
            and fixed not in instance.choices[make.tensor].made[make.layout]
        ):
            return UNREACHABLE
    return cost / len(candidate.ops) if cost < UNREACHABLE else UNREACHABLE


def route(instance: Instance, held: Held, need: Need, root: str) -> _Route:
    """The cheapest way for the op to have the tensor in the layout, given what is held."""
    tensor, layout = need.tensor, need.layout
    choice = instance.choices[tensor]
    backed = choice.in_hbm or tensor in instance.generated or tensor in held.written
    if layout is None:
        if choice.in_hbm or tensor in held.written or tensor in held.spilled:
            return _Route(cost_ns=0)
        spill = _spill_ns(choice, held)
        return _Route(cost_ns=spill, spill=True) if spill < UNREACHABLE else _far()
    routes: list[_Route] = []
    for form in choice.served[layout, root]:
        if form in held.kept.get(tensor, ()):
            return _Route(cost_ns=0)
        loads = backed or tensor in held.spilled
        routes += _arrivals(choice, held, form, loads=loads, extra=0)
        if not loads:
            routes += _arrivals(choice, held, form, loads=True, extra=_spill_ns(choice, held))
    return min(routes, key=lambda r: (r.cost_ns, r.moves), default=_far())


def _far() -> _Route:
    return _Route(cost_ns=UNREACHABLE)


def _spill_ns(choice: Choice, held: Held) -> int:
    native = held.native.get(choice.tensor.name)
    return choice.spills.get(native, UNREACHABLE) if native is not None else UNREACHABLE


def _arrivals(
    choice: Choice, held: Held, layout: Layout, *, loads: bool, extra: int
) -> list[_Route]:
    """Routes of one move, or of a load and one move."""
    spill = extra > 0
    kept: Sequence[Layout] = held.kept.get(choice.tensor.name, ())
    native = held.native.get(choice.tensor.name)
    primary = {native} | _loaded(choice, held)
    found: list[_Route] = []
    for j in choice.arrivals.get(layout, ()):
        move = choice.moves[j]
        cost = extra + sum(move.busy_ns.values())
        if move.source is None:
            if loads and (native is None or in_time(choice, native, layout)):
                found.append(_Route(cost_ns=cost, moves=(j,), forms=(layout,), spill=spill))
        elif move.source in kept and move.source in primary and not spill:
            found.append(_Route(cost_ns=cost, moves=(j,), forms=(layout,)))
        elif native is not None and not in_time(choice, native, move.source):
            continue
        elif loads and (first := _load_of(choice, move.source)) is not None:
            total = cost + sum(choice.moves[first].busy_ns.values())
            forms = (move.source, layout)
            found.append(_Route(cost_ns=total, moves=(first, j), forms=forms, spill=spill))
    return found


def _load_of(choice: Choice, layout: Layout) -> int | None:
    """The move that loads the layout from HBM, or makes it on chip."""
    js = choice.arrivals.get(layout, ())
    return next((j for j in js if choice.moves[j].source is None), None)


def _loaded(choice: Choice, held: Held) -> set[Layout]:
    moves = [choice.moves[j] for j in held.moved.get(choice.tensor.name, ())]
    return {m.target for m in moves if m.source is None}


def acquire(
    instance: Instance, held: Held, need: Need, root: str, *, optional: bool = False
) -> None:
    """Bring a tensor into the layout that an op needs.

    Raises:
        Infeasible: no way leads there, and it is not ``optional``.
    """
    found = route(instance, held, need, root)
    tensor = need.tensor
    if found.cost_ns >= UNREACHABLE:
        if optional:
            return
        raise Infeasible(f"tensor {tensor!r} cannot be brought into layout {need.layout}")
    if found.spill:
        held.spilled.setdefault(tensor, []).append(held.native[tensor])
    for j in found.moves:
        if j not in held.moved.setdefault(tensor, []):
            held.moved[tensor].append(j)
    for x in found.forms:
        if x not in held.kept.setdefault(tensor, []):
            held.kept[tensor].append(x)
