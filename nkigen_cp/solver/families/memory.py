"""SBUF capacity: at every step what is alive, and the tiles of the step itself, must fit."""

from __future__ import annotations

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
    capacity = instance.target.sbuf_partition_bytes
    executed = [instance.candidates[i] for i in decisions.chosen]
    for k, op in enumerate(instance.order):
        load = sum(c.sbuf_bytes for c in executed if c.ops[-1] == op)
        for name, choice in instance.choices.items():
            load += sum(
                choice.sizes[x] + making_bytes(choice, x, k)
                for x in decisions.kept.get(name, ())
                if choice.alive[x][0] <= k <= choice.alive[x][1]
            )
            load += sum(
                choice.sizes[x] for x in decisions.passed.get(name, ()) if passing(choice, x, k)
            )
            load += sum(
                choice.sizes[x]
                for x in decisions.spilled.get(name, ())
                if choice.alive[x][0] <= k <= choice.settled[x]
            )
        load += sum(instance.choices[t].sizes[x] for t, x, root in decisions.visiting if root == op)
        load -= sum(
            r.size_bytes
            for r in (instance.reuses[i] for i in decisions.reused)
            if r.first <= k <= r.last
        )
        if load > capacity:
            return False
    return True


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """One row per step at which the sum of everything possible exceeds the capacity."""
    capacity = instance.target.sbuf_partition_bytes
    for terms in rows(instance, variables).values():
        if sum(t.size for t in terms if t.size > 0) > capacity:
            model.add(sum(t.size * t.literal for t in terms) <= capacity)


def rows(instance: Instance, variables: Variables) -> dict[str, list[Term]]:
    """Per step what may be alive there."""
    found: dict[str, list[Term]] = {}
    for k, op in enumerate(instance.order):
        terms = found.setdefault(op, [])
        for name, choice in instance.choices.items():
            alive = _alive(instance, variables, choice, k, op)
            terms += [Term(what=name, size=size, literal=v) for size, v in alive]
        for reuse, literal in zip(instance.reuses, variables.reused, strict=True):
            if reuse.first <= k <= reuse.last:
                terms.append(Term(what=reuse.operand, size=-reuse.size_bytes, literal=literal))
        for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
            if candidate.ops[-1] == op and candidate.sbuf_bytes:
                own = f"tiles of {op}"
                terms.append(Term(what=own, size=candidate.sbuf_bytes, literal=chosen))
    return found


def passing(choice: Choice, layout: Layout, position: int) -> bool:
    """Whether a form is there that only lasts until it is complete and moved on."""
    written = choice.alive[layout][0] <= position <= choice.settled.get(layout, -1)
    return written or position in choice.fetched[layout]


def making_bytes(choice: Choice, layout: Layout, position: int) -> int:
    """SBUF that a move into the layout needs besides its source and result."""
    if position not in choice.fetched[layout]:
        return 0
    return max((choice.moves[j].sbuf_bytes for j in choice.arrivals.get(layout, ())), default=0)


def _alive(
    instance: Instance, variables: Variables, choice: Choice, k: int, op: str
) -> list[tuple[int, cp_model.IntVar]]:
    name = choice.tensor.name
    terms: list[tuple[int, cp_model.IntVar]] = []
    for x in choice.layouts:
        if choice.alive[x][0] <= k <= choice.alive[x][1]:
            size = choice.sizes[x] + making_bytes(choice, x, k)
            terms.append((size, variables.kept[name, x]))
        passed = variables.passed.get((name, x))
        if passed is not None and passing(choice, x, k):
            terms.append((choice.sizes[x], passed))
        visit = variables.visiting.get((name, x, op))
        if visit is not None:
            terms.append((choice.sizes[x], visit))
        spilled = variables.spilled.get((name, x))
        if spilled is not None and choice.alive[x][0] <= k <= choice.settled[x]:
            terms.append((choice.sizes[x], spilled))
    return terms
