"""The answer to a question as frozen values, readable as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from nkigen_cp.conflicts import InfeasibilityReport

SHOWN = 12
"""Changes of each kind that the text names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Nanoseconds of a plan: modelled, proven at least, and on the engine timeline."""

    objective_ns: int
    bound_ns: int
    estimate_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision that moved with the one asked for; "" where there is nothing on one side.

    ``what`` is "op" (what computes it), "tensor" (where and how it lies) or "move".
    """

    what: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it costs to demand ``question`` of a plan.

    ``after`` is None where it is impossible, and then ``conflicts`` says why. ``moved`` are the
    decisions that differ; none if the plan does what is asked anyway.
    """

    question: str
    before: Figures
    after: Figures | None
    moved: tuple[Change, ...] = ()
    conflicts: InfeasibilityReport | None = None

    @property
    def possible(self) -> bool:
        return self.after is not None

    @property
    def change_ns(self) -> int | None:
        """What the modelled latency grows by; None if there is no such plan."""
        return None if self.after is None else self.after.objective_ns - self.before.objective_ns

    @property
    def estimate_change_ns(self) -> float | None:
        """What the latency on the timeline grows by; None if there is no such plan."""
        return None if self.after is None else self.after.estimate_ns - self.before.estimate_ns

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def to_json(self) -> str:
        """All of it as JSON, with the changes in latency."""
        data = asdict(self)
        if self.conflicts is not None:
            data["conflicts"] = json.loads(self.conflicts.to_json())["conflicts"]
        data |= {"change_ns": self.change_ns, "estimate_change_ns": self.estimate_change_ns}
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    def _lines(self) -> Iterator[str]:
        if self.after is None:
            yield f"{self.question} is impossible."
            yield str(self.conflicts)
            return
        if not self.moved:
            yield f"{self.question} is what the plan does."
        else:
            yield f"{self.question} is possible."
        b, a = self.before, self.after
        yield f"  modelled  {_change(b.objective_ns, a.objective_ns)}"
        yield f"  timeline  {_change(b.estimate_ns, a.estimate_ns)}"
        yield f"  proven    at least {b.bound_ns:,} ns before, {a.bound_ns:,} ns with it"
        for what, title in _TITLES:
            own = [c for c in self.moved if c.what == what]
            if own:
                yield f"  {title}"
            yield from (f"    {_moved(c)}" for c in own[:SHOWN])
            if len(own) > SHOWN:
                yield f"    and {len(own) - SHOWN} more"


_TITLES = (
    ("op", "computed in another way:"),
    ("tensor", "lies or lives elsewhere:"),
    ("move", "moved in another way:"),
)


def _change(before: float, after: float) -> str:
    share = (after - before) / before if before else 0.0
    return f"{after:,.0f} ns instead of {before:,.0f} ns ({after - before:+,.0f} ns, {share:+.1%})"


def _moved(change: Change) -> str:
    if not change.before:
        return f"{change.name}: {change.after}, new"
    if not change.after:
        return f"{change.name}: no more {change.before}"
    return f"{change.name}: {change.after}, was {change.before}"
