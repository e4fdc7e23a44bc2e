"""SBUF capacity: at every step what is alive, and the tiles of the step itself, must fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ortools.sat.python import cp_model

from nkigen_cp.solver.choices import Choice
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import Variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Bytes per partition at one step if a literal is true; negative where a place is shared."""

    what: str
    size: int
    literal: cp_model.IntVar


def fits(instance: Instance, decisions: Decisions) -> bool:
    """Whether decisions satisfy this family's rows, by plain arithmetic."""
    return max(loads(instance, decisions), default=0) <= instance.target.sbuf_partition_bytes


def loads(instance: Instance, decisions: Decisions) -> tuple[int, ...]:
    """Bytes of every partition that the rows of this family count for decisions, per op."""
    load = [0] * len(instance.order)

    def occupied(positions: Iterable[int], size: int) -> None:
        for k in positions:
            load[k] += size

    for name, choice in instance.choices.items():
        for x in decisions.kept.get(name, ()):
            occupied(alive(choice, x), choice.sizes[x])
            occupied(making(choice, x), making_bytes(choice, x))
        for x in decisions.passed.get(name, ()):
            occupied(passing(choice, x), choice.sizes[x])
        for x in decisions.spilled.get(name, ()):
            occupied(spilling(choice, x), choice.sizes[x])
    for i in decisions.chosen:
        candidate = instance.candidates[i]
        load[instance.position(candidate.ops[-1])] += candidate.sbuf_bytes
    for tensor, x, root in decisions.visiting:
        load[instance.position(root)] += instance.choices[tensor].sizes[x]
    for i in decisions.reused:
        reuse = instance.reuses[i]
        occupied(range(reuse.first, reuse.last + 1), -reuse.size_bytes)
    return tuple(load)


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """One row per step at which the sum of everything possible exceeds the capacity."""
    capacity = instance.target.sbuf_partition_bytes
    for terms in rows(instance, variables).values():
        if sum(t.size for t in terms if t.size > 0) > capacity:
            model.add(sum(t.size * t.literal for t in terms) <= capacity)


def rows(instance: Instance, variables: Variables) -> dict[str, list[Term]]:
    """Per step what may be alive there."""
    found: list[list[Term]] = [[] for _ in instance.order]
    visits: dict[tuple[str, Layout], list[tuple[int, cp_model.IntVar]]] = {}
    for (name, x, root), literal in variables.visiting.items():
        visits.setdefault((name, x), []).append((instance.position(root), literal))
    for name, choice in instance.choices.items():
        for x in choice.layouts:
            _form(found, variables, choice, x)
            for k, literal in visits.get((name, x), ()):
                found[k].append(Term(what=name, size=choice.sizes[x], literal=literal))
    for reuse, literal in zip(instance.reuses, variables.reused, strict=True):
        for k in range(reuse.first, reuse.last + 1):
            found[k].append(Term(what=reuse.operand, size=-reuse.size_bytes, literal=literal))
    for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
        if candidate.sbuf_bytes:
            op = candidate.ops[-1]
            own = Term(what=f"tiles of {op}", size=candidate.sbuf_bytes, literal=chosen)
            found[instance.position(op)].append(own)
    return dict(zip(instance.order, found, strict=True))


def _form(found: list[list[Term]], variables: Variables, choice: Choice, x: Layout) -> None:
    """What one form occupies: kept, only passed on, being spilled."""
    name, size = choice.tensor.name, choice.sizes[x]
    besides, made_at = making_bytes(choice, x), making(choice, x)
    kept = variables.kept[name, x]
    for k in alive(choice, x):
        occupied = size + besides if k in made_at else size
        found[k].append(Term(what=name, size=occupied, literal=kept))
    passed = variables.passed.get((name, x))
    if passed is not None:
        for k in passing(choice, x):
            found[k].append(Term(what=name, size=size, literal=passed))
    spilled = variables.spilled.get((name, x))
    if spilled is not None:
        for k in spilling(choice, x):
            found[k].append(Term(what=name, size=size, literal=spilled))


def alive(choice: Choice, layout: Layout) -> range:
    """Positions at which a form that is kept is there."""
    first, last = choice.alive[layout]
    return range(first, last + 1)


def making(choice: Choice, layout: Layout) -> tuple[int, ...]:
    """Positions while it is there at which a move into the form may be made."""
    return tuple(k for k in choice.fetched[layout] if k in alive(choice, layout))


def passing(choice: Choice, layout: Layout) -> tuple[int, ...]:
    """Positions at which a form is there that only lasts until it is complete and moved on."""
    written = range(choice.alive[layout][0], choice.settled.get(layout, -1) + 1)
    return tuple(dict.fromkeys((*written, *choice.fetched[layout])))


def spilling(choice: Choice, layout: Layout) -> range:
    """Positions at which a form is there until it has been stored."""
    return range(choice.alive[layout][0], choice.settled[layout] + 1)


def making_bytes(choice: Choice, layout: Layout) -> int:
    """SBUF that a move into the layout needs besides its source and result."""
    return max((choice.moves[j].sbuf_bytes for j in choice.arrivals.get(layout, ())), default=0)
