"""How long the items of a level keep each engine, and how soon one may follow another.

Items are lowered by themselves and run on the timeline, so that a schedule uses its costs, its
hand-offs and its tile-by-tile overlap of producers and consumers, and no second cost model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, walk
from nkigen_cp.lowering.lower import lower_steps
from nkigen_cp.schedule.tree import Item, Path
from nkigen_cp.simulate.timeline import Event, simulated
from nkigen_cp.simulate.timeline.program import LANES, STORE
from nkigen_cp.solver.plan import PlanData, Step
from nkigen_cp.targets.target import Target

QUEUES = LANES[:STORE]
"""Lanes that take their instructions in order; stores wait for results beside each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From the start of an item until a lane takes its first and has finished its last work."""

    first_ns: int
    last_ns: int


Spans = Mapping[str, Span]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alone:
    """An item by itself: its spans, and how many instructions its source has."""

    spans: Spans
    instructions: int


@dataclass(slots=True, kw_only=True, eq=False)
class Measure:
    """Measures one iteration of the level ``path`` of a plan; remembers what it measured."""

    program: Program
    plan: PlanData
    target: Target
    path: Path
    alone: dict[str, _Alone] = field(default_factory=dict[str, "_Alone"])

    def spans(self, item: Item) -> Spans:
        """Per lane, the item's span on an idle chip."""
        return self._alone(item).spans

    def _alone(self, item: Item) -> _Alone:
        if item.name not in self.alone:
            kernel = self.kernel(item.steps)
            found = _spans(simulated(kernel, self.target).events, ())
            count = sum(isinstance(s, Instruction) for s in walk(kernel.body))
            self.alone[item.name] = _Alone(spans=found, instructions=count)
        return self.alone[item.name]

    def lag_ns(self, before: Item, item: Item) -> int:
        """Least time from the start of ``before`` to that of ``item``, which depends on it.

        The item is taken as rigid: as late as all of its lanes need to finish when they do.
        """
        both = self.kernel((*before.steps, *item.steps))
        others = self._alone(before).instructions
        known = [s for s in walk(both.body) if isinstance(s, Instruction)][:others]
        found = _spans(simulated(both, self.target).events, known)
        alone = self.spans(item)
        return max((s.last_ns - alone[e].last_ns for e, s in found.items()), default=0)

    def kernel(self, steps: Sequence[Step]) -> Kernel:
        return lower_steps(self.program, self.plan, steps, self.path)


def _spans(events: Sequence[Event], known: Sequence[Instruction]) -> dict[str, Span]:
    """Per lane the first start and last end of instructions that are not ``known``."""
    others = {id(i) for i in known}
    found: dict[str, Span] = {}
    for event in events:
        if event.step is None or id(event.step.instruction) in others:
            continue
        lane = LANES[event.step.lane]
        before = found.get(lane)
        first, last = round(event.start), round(event.end)
        if before is not None:
            first, last = min(before.first_ns, first), max(before.last_ns, last)
        found[lane] = Span(first_ns=first, last_ns=last)
    return found
