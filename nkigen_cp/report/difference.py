"""Two reports against each other: figures and decisions that are not the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

from nkigen_cp.report.model import ConversionLine, Report, StepLine, Summary, TensorLine
from nkigen_cp.solver.plan.pins import demands

ABSENT = "-"
_Line = TypeVar("_Line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A figure of both plans."""

    name: str
    unit: str
    before: int
    after: int

    @property
    def change(self) -> float | None:
        """As a fraction of the earlier one; None from nothing to something."""
        if self.before == self.after:
            return 0.0
        return self.after / self.before - 1 if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided of ``subject``, a tensor or a comma-separated list of them."""

    subject: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """``numbers`` has all figures; the others only what differs."""

    before: str
    after: str
    numbers: tuple[Number, ...]
    settings: tuple[Decision, ...]
    decisions: tuple[Decision, ...]

    @property
    def slowdown(self) -> float:
        """Change of the modelled latency as a fraction."""
        return next(n.change or 0.0 for n in self.numbers if n.name == LATENCY)


LATENCY = "modelled latency"
_NUMBERS: tuple[tuple[str, str, Callable[[Summary], int]], ...] = (
    (LATENCY, "ns", lambda s: s.latency_ns),
    ("roofline", "ns", lambda s: s.roofline_ns),
    ("objective", "ns", lambda s: s.objective_ns),
    ("proven bound", "ns", lambda s: s.bound_ns),
    ("instructions", "", lambda s: s.instructions),
    ("HBM traffic", "B", lambda s: s.hbm_bytes),
    ("SBUF at its fullest", "B/partition", lambda s: s.sbuf_peak_bytes),
)
_OF_STEPS: Mapping[str, Callable[[StepLine], str]] = {
    "instruction": lambda s: s.instruction,
    "engine": lambda s: ", ".join(e for e, ns in s.busy_ns.items() if ns),
    "on the partitions": lambda s: s.partitions,
    "loops": lambda s: s.loops,
    "tiles": lambda s: s.tiles,
    "epilogue": lambda s: s.epilogue,
    "streams": lambda s: s.streamed,
    "together with": lambda s: ", ".join(o.tensor for o in s.ops),
}
_OF_TENSORS: Mapping[str, Callable[[TensorLine], str]] = {
    "lives": lambda t: t.residency,
    "held with": lambda t: "; ".join(dict.fromkeys(f.partitions for f in t.forms if f.partitions)),
}


def difference(before: Report, after: Report) -> Difference:
    """What changed from one plan to another, of the same program or of one like it."""
    return Difference(
        before=before.summary.kernel,
        after=after.summary.kernel,
        numbers=tuple(_numbers(before.summary, after.summary)),
        settings=tuple(_settings(before.summary, after.summary)),
        decisions=(
            *_changed(_OF_TENSORS, _tensors(before), _tensors(after)),
            *_changed(_OF_STEPS, _steps(before), _steps(after)),
            *_conversions(before, after),
        ),
    )


def _numbers(before: Summary, after: Summary) -> Iterator[Number]:
    for name, unit, figure in _NUMBERS:
        yield Number(name=name, unit=unit, before=figure(before), after=figure(after))
    for engine in dict.fromkeys((*before.busy_ns, *after.busy_ns)):
        one, other = before.busy_ns.get(engine, 0), after.busy_ns.get(engine, 0)
        yield Number(name=f"{engine} busy", unit="ns", before=one, after=other)


def _settings(before: Summary, after: Summary) -> Iterator[Decision]:
    """Kernel, target, solver and what the solve was told."""
    pairs = [(n, getattr(before, n), getattr(after, n)) for n in ("kernel", "target", "solver")]
    names = [f.name for f in fields(before.options) if f.name != "pins"]
    told = [(n, getattr(before.options, n), getattr(after.options, n)) for n in names]
    pins = [", ".join(map(str, demands(s.options.pins))) or ABSENT for s in (before, after)]
    for name, one, other in (*pairs, *told, ("pins", *pins)):
        if one != other:
            yield Decision(subject="", what=name, before=str(one), after=str(other))


def _tensors(report: Report) -> dict[str, TensorLine]:
    return {t.name: t for t in report.tensors}


def _steps(report: Report) -> dict[str, StepLine]:
    """By the tensor of every op that a step computes."""
    return {o.tensor: s for s in report.steps for o in s.ops}


def _changed(
    questions: Mapping[str, Callable[[_Line], str]],
    before: Mapping[str, _Line],
    after: Mapping[str, _Line],
) -> Iterator[Decision]:
    """Answers that differ; subjects with the same change are told together."""
    for what, answer in questions.items():
        groups: dict[tuple[str, str], list[str]] = {}
        for name in dict.fromkeys((*before, *after)):
            pair = tuple(answer(side[name]) if name in side else ABSENT for side in (before, after))
            one, other = (text or ABSENT for text in pair)
            if one != other:
                groups.setdefault((one, other), []).append(name)
        for (one, other), names in groups.items():
            yield Decision(subject=", ".join(names), what=what, before=one, after=other)


def _conversions(before: Report, after: Report) -> Iterator[Decision]:
    """Conversions that only one of the plans has, with their prices."""
    sides = [{_conversion(c): c.price_ns for c in r.conversions} for r in (before, after)]
    for tensor, text in dict.fromkeys((*sides[0], *sides[1])):
        one, other = (f"{s[tensor, text]:,} ns" if (tensor, text) in s else ABSENT for s in sides)
        if one != other:
            yield Decision(subject=tensor, what=text, before=one, after=other)


def _conversion(line: ConversionLine) -> tuple[str, str]:
    return line.tensor, f"{line.how}: {line.before} to {line.after}"
