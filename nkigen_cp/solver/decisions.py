"""What was decided, apart from any model: the common currency of greedy, solver and assembly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.solver.candidates import ENGINES, Move
from nkigen_cp.solver.choices import path_of
from nkigen_cp.solver.families.engines import DMA, SERIAL_SHARE, is_ahead
from nkigen_cp.solver.feeds import Feeds, behind, feeds_of
from nkigen_cp.solver.homes import Path, nest_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Load, Step
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import load_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Indices of executed candidates and, per tensor, of moves; what is spilled and visited."""

    chosen: tuple[int, ...]
    moved: Mapping[str, tuple[int, ...]]
    kept: Mapping[str, tuple[Layout, ...]]
    passed: Mapping[str, tuple[Layout, ...]]
    spilled: Mapping[str, tuple[Layout, ...]]
    visiting: tuple[tuple[str, Layout, str], ...]
    reused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Busy nanoseconds per engine, of every nest; and those of the loads that a nest waits for."""

    nests: Mapping[str, Mapping[str, int]]
    awaited: Mapping[str, int]
    feeds: Feeds

    @property
    def busy_ns(self) -> dict[str, int]:
        """Per engine, over the whole kernel."""
        return {e: sum(busy[e] for busy in self.nests.values()) for e in ENGINES}

    def nest_ns(self, nest: str) -> int:
        """The busiest engine of a nest."""
        return max((ns for e, ns in self.nests.get(nest, {}).items() if e != DMA), default=0)

    @property
    def makespan_ns(self) -> int:
        """What no schedule beats that runs the nests one after the other."""
        waits = [
            ns + sum(self.nest_ns(n) for n in behind(self.feeds, nest))
            for nest, ns in self.awaited.items()
        ]
        return max(sum(map(self.nest_ns, self.nests)), self.busy_ns[DMA], *waits, 0)

    @property
    def scaled_objective(self) -> int:
        """The objective in the model's unit of 1/12 ns."""
        return SERIAL_SHARE * self.makespan_ns + sum(self.busy_ns.values())


def work_of(instance: Instance, decisions: Decisions) -> Work:
    """What the decisions keep busy."""
    feeds = feeds_of(instance.program)
    awaited: dict[str, int] = {}
    for nest, tensors in feeds.items():
        moves = [m for m in _moves(instance, decisions, tensors) if is_ahead(m, nest)]
        visits = [(t, x) for t, x, _ in decisions.visiting if t in tensors]
        awaited[nest] = sum(m.busy_ns[DMA] for m in moves)
        awaited[nest] += sum(load_ns(instance.choices[t], x) for t, x in visits)
    return Work(nests=_nests(instance, decisions), awaited=awaited, feeds=feeds)


def work_in(instance: Instance, steps: Sequence[Step]) -> Work:
    """What the steps of a plan keep busy; decisions may hold moves that nothing needs."""
    feeds = feeds_of(instance.program)
    nests: dict[str, dict[str, int]] = {}
    for step in steps:
        _add(nests, step.path, step.busy_ns)
    loads = [s for s in steps if isinstance(s.spec, Load)]
    awaited = {
        nest: sum(
            s.busy_ns[DMA]
            for s in loads
            if isinstance(s.spec, Load) and s.spec.tensor in tensors and nest_of(s.path) != nest
        )
        for nest, tensors in feeds.items()
    }
    return Work(nests=nests, awaited=awaited, feeds=feeds)


def _add(nests: dict[str, dict[str, int]], path: Path, busy_ns: Mapping[str, int]) -> None:
    busy = nests.setdefault(nest_of(path), {e: 0 for e in ENGINES})  # noqa: C420 - keys are plain str
    for engine, ns in busy_ns.items():
        busy[engine] += ns


def _moves(instance: Instance, decisions: Decisions, tensors: Sequence[str]) -> list[Move]:
    return [instance.choices[t].moves[j] for t in tensors for j in decisions.moved.get(t, ())]


def _nests(instance: Instance, decisions: Decisions) -> dict[str, dict[str, int]]:
    candidates = [instance.candidates[i] for i in decisions.chosen]
    parts: list[tuple[Path, Mapping[str, int]]] = [(c.path, c.busy_ns) for c in candidates]
    moves = _moves(instance, decisions, list(decisions.moved))
    parts += [(path_of(m), m.busy_ns) for m in moves]
    for name, layouts in decisions.spilled.items():
        parts += [(x.home, {DMA: instance.choices[name].spills[x]}) for x in layouts]
    for name, x, _ in decisions.visiting:
        parts.append((x.home, {DMA: load_ns(instance.choices[name], x)}))
    found: dict[str, dict[str, int]] = {}
    for path, part in parts:
        _add(found, path, part)
    return found
