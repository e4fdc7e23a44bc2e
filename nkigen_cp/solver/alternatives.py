"""What else could have been decided, one decision at a time, and what that would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families import memory
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.patch import Refused, exchanged, reloaded, resident
from nkigen_cp.solver.plan import Contract, Elementwise, Gather, Run, Spec
from nkigen_cp.solver.work import work_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """SBUF that would be needed at an op, in bytes per partition, and what there is."""

    op: str
    needed_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One decision made otherwise.

    ``change_ns`` is how much the objective grows, None where the rest cannot be completed, for the
    reason ``refused``. ``overflow`` says where memory does not suffice. ``decisions`` are the whole
    plan; of an op ``candidate`` is the number of the other candidate.
    """

    candidate: int | None = None
    change_ns: int | None = None
    refused: str = ""
    overflow: Overflow | None = None
    decisions: Decisions | None = None

    @property
    def legal(self) -> bool:
        """Whether the plan could be made so."""
        return self.change_ns is not None and self.overflow is None


Facet = Callable[[Candidate], str]


def _engine(c: Candidate) -> str:
    if isinstance(c.spec, Contract):
        return c.spec.epilogue.engine
    return c.spec.engine if isinstance(c.spec, Elementwise) else ""


def _partition(c: Candidate) -> str:
    run = run_of(c.spec)
    return "" if run is None else f"{'.'.join(run.digits)}/{run.block}"


def _stationary(c: Candidate) -> str:
    return c.spec.stationary if isinstance(c.spec, Contract) else ""


FACETS: Mapping[str, Facet] = {
    "engine": _engine,
    "partition": _partition,
    "stationary": _stationary,
}
"""What a candidate decides; "" where it is no question."""

VALUES = 2
"""Other values of one facet that are worked out: those whose candidates take least."""

TRIED = 2
"""Candidates that are worked out for each of them."""


def run_of(spec: Spec) -> Run | None:
    """What a step puts on the partitions."""
    if isinstance(spec, Contract):
        return spec.m_run
    return spec.run if isinstance(spec, (Elementwise, Gather)) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """What else could be decided where ``decisions`` were made."""

    instance: Instance
    decisions: Decisions
    scaled_objective: int

    def of_op(self, number: int) -> Iterator[tuple[str, Alternative]]:
        """The best candidate for other values of each facet of a chosen one, with the facet."""
        now, barred = self.instance.candidates[number], self.instance.barred
        alike = [
            (i, c)
            for i, c in enumerate(self.instance.candidates)
            if c.ops == now.ops and c.path == now.path and i != number and i not in barred
        ]
        alike.sort(key=lambda e: (_apart(now, e[1]), e[0]))
        known: dict[int, Alternative] = {}
        for name, facet in FACETS.items():
            others: dict[str, list[int]] = {}
            for i, c in alike:
                if facet(c) and facet(c) != facet(now):
                    others.setdefault(facet(c), []).append(i)
            for found in list(others.values())[:VALUES]:
                for i in found[:TRIED]:
                    if i not in known:
                        known[i] = self._with(number, i)
                yield name, min((known[i] for i in found[:TRIED]), key=rank)

    def of_tensor(self, tensor: str) -> Alternative | None:
        """The tensor on chip throughout if it is not, loaded again for later uses if it is."""
        if self.is_moved_twice(tensor):
            return self._judged(lambda: resident(self.instance, self.decisions, tensor))
        several = len(self.instance.choices[tensor].consumers) > 1
        if not (several and self.decisions.kept.get(tensor)):
            return None
        return self._judged(lambda: reloaded(self.instance, self.decisions, tensor))

    def is_moved_twice(self, tensor: str) -> bool:
        """Whether the tensor is stored and loaded again, or loaded for single uses."""
        visited = any(v[0] == tensor for v in self.decisions.visiting)
        return visited or bool(self.decisions.spilled.get(tensor))

    def _with(self, old: int, new: int) -> Alternative:
        found = self._judged(lambda: exchanged(self.instance, self.decisions, old, new))
        return replace(found, candidate=new)

    def _judged(self, change: Callable[[], Decisions]) -> Alternative:
        try:
            found = change()
        except Refused as refused:
            return Alternative(refused=str(refused))
        scaled = work_of(self.instance, found).scaled_objective - self.scaled_objective
        needed = memory.loads(self.instance, found)
        fullest = max(range(len(needed)), key=needed.__getitem__)
        capacity = self.instance.target.sbuf_partition_bytes
        over = Overflow(
            op=self.instance.order[fullest],
            needed_bytes=needed[fullest],
            capacity_bytes=capacity,
        )
        return Alternative(
            change_ns=round(scaled / SERIAL_SHARE),
            overflow=over if needed[fullest] > capacity else None,
            decisions=found,
        )


def alternatives(instance: Instance, decisions: Decisions) -> Alternatives:
    """What else could be decided."""
    found = work_of(instance, decisions).scaled_objective
    return Alternatives(instance=instance, decisions=decisions, scaled_objective=found)


def rank(found: Alternative) -> tuple[bool, bool, int]:
    """What can be taken first, then what costs less."""
    return (not found.legal, found.change_ns is None, found.change_ns or 0)


def _apart(now: Candidate, other: Candidate) -> int:
    """How long engines work, and how much else a candidate wants to be changed."""
    moved = sum(n not in now.needs for n in other.needs) + (other.makes != now.makes)
    return sum(other.busy_ns.values()) + 1000 * moved
