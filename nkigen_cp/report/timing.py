"""The plan on the engine timeline: its kernel, when each step runs, who fills the critical path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.lowering.lower import lower_plan
from nkigen_cp.simulate.timeline import Estimate, Event, estimate
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.targets.target import Target

IDLE = None
"""The owner of critical time in which no instruction works."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """A lowered plan and its modelled run; ``owners`` has the step of every event.

    What is extrapolated belongs to the step before it: it is of the same loop.
    """

    kernel: Kernel
    estimate: Estimate
    owners: tuple[int, ...]

    @property
    def latency_ns(self) -> int:
        return round(self.estimate.latency_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Part of the critical path: the step that fills it, or nothing (``IDLE``)."""

    step: int | None
    start_ns: int
    end_ns: int


def timed(program: Program, plan: PlanData, graph: Graph, target: Target) -> Timing:
    """Lower a plan and run it on the timeline; ``graph`` is the one that was traced."""
    kernel = replace(lower_plan(program, plan), graph=graph, target=target)
    found = estimate(kernel, target)
    return Timing(kernel=kernel, estimate=found, owners=_owners(found.events))


def _owners(events: Sequence[Event]) -> tuple[int, ...]:
    found: list[int] = []
    for event in events:
        known = None if event.step is None else event.step.instruction.step
        found.append(known if known is not None else (found[-1] if found else 0))
    return tuple(found)


def critical(timing: Timing) -> tuple[Stretch, ...]:
    """The latency from its end to its start, every nanosecond of it once.

    From the last event back along what each one waited for. Where an event began before the end of
    what it waited for, the earlier one has the time up to that start only.
    """
    return tuple(_critical(timing))


def _critical(timing: Timing) -> Iterator[Stretch]:
    events = timing.estimate.events
    at = max(range(len(events)), key=lambda e: (events[e].end, -e), default=-1)
    until = timing.latency_ns
    while at >= 0 and until > 0:
        start, end = (min(until, max(0, round(t))) for t in (events[at].start, events[at].end))
        if end < until:
            yield Stretch(step=IDLE, start_ns=end, end_ns=until)
        if start < end:
            yield Stretch(step=timing.owners[at], start_ns=start, end_ns=end)
        until, at = start, events[at].before
    if until > 0:
        yield Stretch(step=IDLE, start_ns=0, end_ns=until)


def exclusive(plan: PlanData, stretches: Sequence[Stretch]) -> tuple[Mapping[str, int], int]:
    """Nanoseconds of the critical path per nest, and those in which nothing works."""
    nests: dict[str, int] = {}
    idle = 0
    for stretch in stretches:
        ns = stretch.end_ns - stretch.start_ns
        if stretch.step is None:
            idle += ns
        else:
            nest = nest_of(plan.steps[stretch.step].path)
            nests[nest] = nests.get(nest, 0) + ns
    return nests, idle


def spans(timing: Timing) -> dict[int, tuple[int, int]]:
    """From when to when each step has instructions under way."""
    found: dict[int, tuple[int, int]] = {}
    for step, event in zip(timing.owners, timing.estimate.events, strict=True):
        start, end = found.get(step, (round(event.start), round(event.end)))
        found[step] = (min(start, round(event.start)), max(end, round(event.end)))
    return found
