"""What the rows are made of: candidates and moves with the times of one iteration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.solver.candidates import Move
from nkigen_cp.solver.choices import Choice, path_of
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.timing.values import (
    WHOLE,
    Literal,
    Periods,
    Terms,
    chosen,
    duration_ns,
    handoff_ns,
    held,
    latency_ns,
    moved,
    visiting,
)
from nkigen_cp.solver.variables import load_ns, loadable, may_visit


@dataclass(slots=True)
class Facts:
    """Candidates by the op they end with, and times of one iteration."""

    instance: Instance
    handoff: int = field(init=False)
    latency: int = field(init=False)
    rooted: dict[str, list[int]] = field(init=False)
    once: list[Mapping[str, int]] = field(init=False)
    lasts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        i = self.instance
        self.handoff, self.latency = handoff_ns(i.target), latency_ns(i.target)
        self.rooted = {op: [] for op in i.order}
        for k, c in enumerate(i.candidates):
            self.rooted[c.ops[-1]].append(k)
        self.once = [self.shared(c.busy_ns, c.path) for c in i.candidates]
        self.lasts = [duration_ns(i.target, busy) for busy in self.once]

    def shared(self, busy: Mapping[str, int], path: Path) -> Mapping[str, int]:
        """Busy times of one iteration."""
        trips = self.instance.program.trips(path)
        return {e: ns // trips for e, ns in busy.items()}

    def move(self, move: Move) -> Mapping[str, int]:
        """Busy times of one execution of a move."""
        return self.shared(move.busy_ns, path_of(move))

    def moving(self, move: Move) -> int:
        """How long one execution of a move lasts."""
        return duration_ns(self.instance.target, self.move(move))

    def leaving(self, path: Path, other: Path) -> Periods:
        """The remaining iterations of the loops around ``path`` but not around ``other``."""
        loops = self.instance.program.loops
        left = path[len(common_path(path, other)) :]
        return tuple((loops[name].trips - 1, name) for name in left)

    def weights(self, op: str, engine: str) -> Terms:
        """Busy time of an engine in the step that ends with the op."""
        busy = ((self.once[k].get(engine, 0), k) for k in self.rooted[op])
        return tuple((ns, chosen(k)) for ns, k in busy if ns)


def visits(instance: Instance, choice: Choice) -> list[tuple[Layout, str]]:
    """Forms of which ops may load copies of their own."""
    if not may_visit(choice):
        return []
    whole = [x for x in loadable(choice) if not x.home]
    return [(x, o) for x in whole for o in choice.consumers if not instance.path(o)]


def busy_terms(instance: Instance, engine: str, loop: str = WHOLE) -> Terms:
    """Busy time of an engine over everything, or in one iteration of a loop."""

    def once(ns: int, path: Path) -> int:
        around = path[: path.index(loop) + 1] if loop != WHOLE else ()
        return ns // instance.program.trips(around)

    found: list[tuple[int, Literal]] = []
    for k, c in enumerate(instance.candidates):
        if loop == WHOLE or loop in c.path:
            found.append((once(c.busy_ns.get(engine, 0), c.path), chosen(k)))
    for name, choice in instance.choices.items():
        for j, m in enumerate(choice.moves):
            if loop == WHOLE or loop in path_of(m):
                ns = once(m.busy_ns.get(engine, 0), path_of(m))
                found.append((ns, moved(name, j)))
        for x, ns in choice.spills.items():
            if engine == "dma" and (loop == WHOLE or loop in x.home):
                found.append((once(ns, x.home), held("spilled", name, x)))
        if engine == "dma" and loop == WHOLE:
            for form, op in visits(instance, choice):
                found.append((load_ns(choice, form), visiting(name, form, op)))
    return tuple((ns, x) for ns, x in found if ns)
