"""The objective: the time of the plan, and a share of all work.

The rows of ``timing`` become constraints over one integer per point in time and one per period, and
their least solution is what is minimised: CP-SAT's precedences, no constant stands for infinity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.decisions import Decisions, holds, objective_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.timing.least import times_of
from nkigen_cp.solver.timing.rows import busy_terms, timing_of
from nkigen_cp.solver.timing.values import (
    END,
    WORK_SHARE,
    Literal,
    Node,
    Row,
    Terms,
    Timing,
    handoff_ns,
    latency_ns,
)
from nkigen_cp.solver.variables import Variables, upper_bound_ns


@dataclass(slots=True)
class Clock:
    """The variables of this family, created as the rows name them."""

    model: cp_model.CpModel
    variables: Variables
    timing: Timing
    horizon: int
    nodes: dict[Node, cp_model.IntVar] = field(default_factory=dict[Node, cp_model.IntVar])
    periods: dict[str, cp_model.IntVar] = field(default_factory=dict[str, cp_model.IntVar])
    groups: dict[Literal, cp_model.IntVar] = field(default_factory=dict[Literal, cp_model.IntVar])
    work: list[cp_model.LinearExpr] = field(default_factory=list[cp_model.LinearExpr])

    @property
    def objective(self) -> cp_model.LinearExpr:
        """In units of 1/``WORK_SHARE`` ns."""
        return _total([WORK_SHARE * self.node(END), *self.work])

    def hint(self, hint: Decisions) -> None:
        """The least times of these decisions."""
        value = holds(hint)
        times = times_of(self.timing, value)
        for node, v in self.nodes.items():
            self.model.add_hint(v, times.nodes.get(node, 0))
        for name, v in self.periods.items():
            self.model.add_hint(v, times.periods[name])
        for x, v in self.groups.items():
            self.model.add_hint(v, value(x))
        self.model.add_hint(self.variables.makespan, 0)

    def node(self, node: Node) -> cp_model.IntVar:
        """The variable of a point in time."""
        if node not in self.nodes:
            self.nodes[node] = self.model.new_int_var(0, self.horizon, "time" + str(node))
        return self.nodes[node]

    def period(self, loop: str) -> cp_model.IntVar:
        """The variable of a loop's period."""
        if loop not in self.periods:
            self.periods[loop] = self.model.new_int_var(1, self.horizon, f"period[{loop}]")
        return self.periods[loop]

    def literal(self, x: Literal) -> cp_model.IntVar:
        """The variable of a literal, not negated."""
        v = self.variables
        if x.kind == "any":
            if x not in self.groups:
                group = self.model.new_bool_var(f"any{x.indices}")
                self.model.add(sum(v.chosen[i] for i in x.indices) == group)
                self.groups[x] = group
            return self.groups[x]
        if x.kind == "chosen":
            return v.chosen[x.indices[0]]
        if x.kind == "moved":
            return v.moved[x.tensor][x.indices[0]]
        assert x.form is not None
        if x.kind == "visiting":
            return v.visiting[x.tensor, x.form, x.op]
        return {"kept": v.kept, "spilled": v.spilled}[x.kind][x.tensor, x.form]

    def weighted(self, terms: Terms) -> list[cp_model.LinearExpr]:
        """The terms as expressions."""
        return [ns * self.literal(x) for ns, x in terms]


def add(
    model: cp_model.CpModel,
    instance: Instance,
    variables: Variables,
    hint: Decisions | None,
) -> Clock:
    """All rows."""
    timing = timing_of(instance)
    clock = Clock(model, variables, timing, _horizon(instance, timing, hint))
    for row in _rows(timing):
        _add(clock, row)
    for name, floors in timing.floors.items():
        for row in floors:
            model.add(clock.period(name) >= _total(clock.weighted(row.terms)))
    clock.work += [t for e in ENGINES for t in clock.weighted(busy_terms(instance, e))]
    return clock


def _horizon(instance: Instance, timing: Timing, hint: Decisions | None) -> int:
    """No plan takes longer than everything, one after the other; none better than the hint longer.

    An iteration told by itself may wait for those before it, so it gets as much again.
    """
    steps = len(instance.candidates) + sum(
        len(c.moves) + len(c.spills) + len(c.consumers) for c in instance.choices.values()
    )
    trips = max((instance.program.trips(p) for p in instance.spans.paths), default=1)
    once = latency_ns(instance.target) + 2 * handoff_ns(instance.target)
    longest = upper_bound_ns(instance) + steps * trips * once
    if hint is None:
        return longest
    times = times_of(timing, holds(hint))
    objective = -(-objective_of(instance, hint) // WORK_SHARE)
    return min(longest, 2 * max(objective, *times.nodes.values(), *times.periods.values()))


def _rows(timing: Timing) -> Iterator[Row]:
    for rows in timing.levels.values():
        yield from rows


def _add(clock: Clock, row: Row) -> None:
    parts: list[cp_model.LinearExprT] = [row.ns, *clock.weighted(row.terms)]
    parts += [k * clock.period(name) for k, name in row.periods]
    if row.source is not None:
        parts.append(clock.node(row.source))
    constraint = clock.model.add(clock.node(row.target) >= _total(parts))
    if row.when:
        literals = [clock.literal(x) for x in row.when]
        constraint.only_enforce_if(  # pyright: ignore[reportUnknownMemberType]
            [v.negated() if x.negated else v for x, v in zip(row.when, literals, strict=True)]
        )


def _total(terms: Sequence[cp_model.LinearExprT]) -> cp_model.LinearExpr:
    return cp_model.LinearExpr.sum(terms)  # pyright: ignore[reportUnknownMemberType]
