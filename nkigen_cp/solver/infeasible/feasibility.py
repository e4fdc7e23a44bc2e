"""The model without an objective, in which every demand and the size of SBUF can be let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ortools.sat.python import cp_model

from nkigen_cp.conflicts import Term
from nkigen_cp.solver.families import cover, layouts, memory, pins, reuse
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.variables import Variables, create_variables

SBUF = "SBUF"
"""The name of the one limit that every form shares."""

BUDGET = 2.0
"""Deterministic time of one question; what is not decided then counts as feasible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes per partition of SBUF at the fullest step, as few as possible, and what they hold.

    ``proven`` is False where there may be a plan with fewer.
    """

    step: str
    needed: int
    terms: tuple[Term, ...]
    proven: bool


class Feasibility:
    """The rules of one instance; ``members`` are the demands and limits that may be let go."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._model, variables = _rules(instance)
        self._guards: dict[str, cp_model.IntVar] = {}
        for ruling in instance.rulings:
            guard = self._guards[str(ruling.demand)] = self._model.new_bool_var("")
            pins.add_one(self._model, variables, ruling, [guard])
        guard = self._guards[SBUF] = self._model.new_bool_var("")
        capacity = instance.target.sbuf_partition_bytes
        for terms in memory.rows(instance, variables).values():
            most = sum(t.size for t in terms if t.size > 0)
            if most > capacity:
                load = sum(t.size * t.literal for t in terms)
                self._model.add(load + (most - capacity) * guard <= most)

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(self._guards)

    def core(self, members: Sequence[str], *, presolve: bool = True) -> tuple[str, ...] | None:
        """Some of the members that contradict each other; None if all can hold together."""
        self._model.clear_assumptions()
        self._model.add_assumptions([self._guards[m] for m in members])
        solver = _solver(presolve=presolve)
        if solver.solve(self._model) != cp_model.INFEASIBLE:
            return None
        found = list(solver.sufficient_assumptions_for_infeasibility())
        core = tuple(m for m in members if self._guards[m].index in found)
        # Presolve of 9.15 may name a literal that is no assumption: then all of them are the core.
        foreign = len(core) < len(found)
        return tuple(members) if foreign and presolve else core

    def room(self, members: Sequence[str]) -> Room | None:
        """The SBUF that a plan with these demands needs; None if there is none of any size."""
        model, variables = _rules(self._instance)
        for ruling in self._instance.rulings:
            if str(ruling.demand) in members:
                pins.add_one(model, variables, ruling, ())
        rows = memory.rows(self._instance, variables)
        most = max(sum(t.size for t in terms if t.size > 0) for terms in rows.values())
        peak = model.new_int_var(0, most, "peak")
        for terms in rows.values():
            model.add(sum(t.size * t.literal for t in terms) <= peak)
        model.minimize(peak)
        solver = _solver(presolve=True)
        status = solver.solve(model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        return _fullest(solver, rows, proven=status == cp_model.OPTIMAL)


def _rules(instance: Instance) -> tuple[cp_model.CpModel, Variables]:
    """Everything but the memory, the pins and the objective."""
    model = cp_model.CpModel()
    variables = create_variables(model, instance)
    for family in (cover, layouts, reuse):
        family.add(model, instance, variables)
    return model, variables


def _solver(*, presolve: bool) -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    p = solver.parameters
    p.num_workers = 1
    p.random_seed = 0
    p.max_deterministic_time = BUDGET
    p.catch_sigint_signal = False
    p.cp_model_presolve = presolve
    return solver


def _fullest(
    solver: cp_model.CpSolver, rows: dict[str, list[memory.Term]], *, proven: bool
) -> Room:
    def held(terms: Sequence[memory.Term]) -> dict[str, int]:
        found: dict[str, int] = {}
        for t in terms:
            if solver.boolean_value(t.literal):
                found[t.what] = found.get(t.what, 0) + t.size
        return found

    step = max(rows, key=lambda op: sum(held(rows[op]).values()))
    amounts = sorted(held(rows[step]).items(), key=lambda e: (-e[1], e[0]))
    return Room(
        step=step,
        needed=sum(n for _, n in amounts),
        terms=tuple(Term(name=name, amount=n) for name, n in amounts if n),
        proven=proven,
    )
