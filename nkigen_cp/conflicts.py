"""Why no plan exists, as frozen values: what is asked for together and what there is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One of the things that make up a demand, in the conflict's unit."""

    name: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A minimal set of ``members`` that cannot hold together: pins, and limits of the target.

    Without any one of them there is a plan. ``demand`` of the ``resource`` is what they take,
    ``bound`` what there is, both in ``unit`` and None where nothing is counted; ``terms`` make up
    the demand. ``levers`` are changes that resolve the conflict.
    """

    resource: str
    members: tuple[str, ...]
    text: str
    levers: tuple[str, ...]
    demand: int | None = None
    bound: int | None = None
    unit: str = ""
    terms: tuple[Term, ...] = ()

    @property
    def gap(self) -> int | None:
        """What the demand is above the bound."""
        if self.demand is None or self.bound is None:
            return None
        return self.demand - self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class InfeasibilityReport:
    """Everything that is known of why no plan exists; ``str`` is readable text."""

    kernel: str
    target: str
    conflicts: tuple[Conflict, ...]

    def __str__(self) -> str:
        return "\n".join(line for c in self.conflicts for line in _lines(c))

    def to_json(self) -> str:
        """The report as JSON; every conflict also states its gap."""
        data = asdict(self)
        for entry, conflict in zip(data["conflicts"], self.conflicts, strict=True):
            entry["gap"] = conflict.gap
        return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _lines(conflict: Conflict) -> list[str]:
    found = [conflict.text]
    if conflict.members:
        found.append(f"  together: {', '.join(conflict.members)}")
    if conflict.gap is not None:
        found.append(
            f"  {conflict.resource}: needs {conflict.demand:,}{conflict.unit}, there are "
            f"{conflict.bound:,}{conflict.unit}, {conflict.gap:,}{conflict.unit} too few"
        )
    found += [f"    {t.name}: {t.amount:,}{conflict.unit}" for t in conflict.terms]
    return [*found, *(f"  would help: {lever}" for lever in conflict.levers)]
