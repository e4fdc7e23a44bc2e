"""What a plan keeps busy, and the objective that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families.engines import DMA, SERIAL_SHARE, ends_ns
from nkigen_cp.solver.feeds import Feeds, behind, feeds_of
from nkigen_cp.solver.homes import Path, nest_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Load, Step, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Busy nanoseconds per engine, of every nest; and those of the loads that a nest waits for.

    ``ends_ns`` is what passes before the first load and behind the last store, ``spills_ns`` the
    time of the stores to HBM of what is read again.
    """

    nests: Mapping[str, Mapping[str, int]]
    awaited: Mapping[str, int]
    feeds: Feeds
    ends_ns: int
    spills_ns: int

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
        """The objective in the model's unit of 1/8 ns."""
        beside = (SERIAL_SHARE - 1) * self.makespan_ns
        return beside + sum(self.busy_ns.values()) + SERIAL_SHARE * (self.ends_ns + self.spills_ns)


def work_in(instance: Instance, steps: Sequence[Step]) -> Work:
    """What the steps of a plan keep busy."""
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
    return Work(
        nests=nests,
        awaited=awaited,
        feeds=feeds,
        ends_ns=ends_ns(instance.target),
        spills_ns=sum(s.busy_ns[DMA] for s in steps if is_spill(s)),
    )


def is_spill(step: Step) -> bool:
    """Whether the step stores what the program itself reads again."""
    return isinstance(step.spec, Store) and step.spec.op.startswith("spill.")


def _add(nests: dict[str, dict[str, int]], path: Path, busy_ns: Mapping[str, int]) -> None:
    busy = nests.setdefault(nest_of(path), {e: 0 for e in ENGINES})  # noqa: C420 - keys are plain str
    for engine, ns in busy_ns.items():
        busy[engine] += ns


def work_of(instance: Instance, decisions: Decisions) -> Work:
    """What decisions keep busy once carried out; they may hold moves that nothing needs."""
    return work_in(instance, assemble(instance, decisions)[0])
