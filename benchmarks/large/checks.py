"""A row's figures against its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.large.judge import ABSENT
from benchmarks.large.process import Result
from benchmarks.large.rows import DISAGREEMENT, LOWER_SECONDS, SOLVE_SECONDS, Row
from benchmarks.measure import Check

Figures = Mapping[str, Any]
MISSING = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure that is bounded: how it follows from a result, its limit, and how it is printed."""

    name: str
    value: Callable[[Result], float | None]
    limit: Callable[[Row], float | None]
    form: str


def ratio(figures: Figures, over: str, under: str) -> float | None:
    """Quotient of two figures; None where one of them is missing."""
    if over not in figures or not figures.get(under):
        return None
    return figures[over] / figures[under]


def disagreement(figures: Figures) -> float | None:
    """Distance of the objective from the estimate, as a fraction of the estimate."""
    found = ratio(figures, "objective_ns", "latency_ns")
    return None if found is None else abs(found - 1.0)


def _seconds(phase: str) -> Callable[[Result], float | None]:
    # A phase that failed has seconds, yet they are not what its limit is about.
    return lambda r: None if phase in r.errors else r.seconds.get(phase)


FIGURES: tuple[Figure, ...] = (
    Figure(
        name="traffic",
        value=lambda r: ratio(r.figures, "hbm_bytes", "compulsory_bytes"),
        limit=lambda row: row.traffic,
        form="{:.3f}",
    ),
    Figure(
        name="slowdown",
        value=lambda r: ratio(r.figures, "latency_ns", "roofline_ns"),
        limit=lambda row: row.slowdown,
        form="{:.3f}",
    ),
    Figure(
        name="disagreement",
        value=lambda r: disagreement(r.figures),
        limit=lambda _: DISAGREEMENT,
        form="{:.1%}",
    ),
    Figure(
        name="solve",
        value=_seconds("solve"),
        limit=lambda _: SOLVE_SECONDS,
        form="{:.1f}",
    ),
    Figure(
        name="gap", value=lambda r: r.figures.get("gap"), limit=lambda row: row.gap, form="{:.1%}"
    ),
    Figure(name="lower", value=_seconds("lower"), limit=lambda _: LOWER_SECONDS, form="{:.2f}"),
)


def checks(result: Result, everything: Sequence[Result]) -> tuple[Check, ...]:
    """Every figure of a row that has a limit; one that is missing is a miss."""
    bounded = [
        at_most(f.name, f.value(result), limit, f.form)
        for f in FIGURES
        if (limit := f.limit(result.row)) is not None
    ]
    return (*bounded, *_lines(result, everything), *_numerics(result), _verdict(result))


def at_most(figure: str, value: float | None, limit: float, form: str) -> Check:
    """A figure against the most it may be."""
    bound = form.format(limit)
    if value is None:
        return Check(figure=figure, measured=MISSING, limit=bound, met=False)
    return Check(figure=figure, measured=form.format(value), limit=bound, met=value <= limit)


def _lines(result: Result, everything: Sequence[Result]) -> list[Check]:
    """The length of the source over that of other rows' sources."""
    sources = {r.row.workload: r.figures["lines"] for r in everything if "lines" in r.figures}
    found: list[Check] = []
    for other, limit in result.row.lines.items():
        lengths = {name: sources.get(w) for name, w in (("a", result.row.workload), ("b", other))}
        found.append(at_most(f"lines / {other}", ratio(_known(lengths), "a", "b"), limit, "{:.2f}"))
    return found


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _numerics(result: Result) -> list[Check]:
    """The worst output of a numeric row, as the simulator finds it."""
    if not result.row.numeric:
        return []
    errors, limits = result.figures.get("errors"), result.figures.get("error_limits")
    if not errors or not limits:
        return [Check(figure="error", measured=MISSING, limit="within limits", met=False)]
    pairs = list(zip(errors, limits, strict=True))
    worst, limit = max(pairs, key=lambda pair: pair[0] - pair[1])
    return [at_most("error", worst, limit, "{:.1e}")]


def _verdict(result: Result) -> Check:
    verdict = result.figures.get("verdict", MISSING)
    return Check(
        figure="nkicheck", measured=verdict, limit="clean", met=verdict in ("clean", ABSENT)
    )
