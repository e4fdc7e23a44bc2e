"""The results as the page benchmarks/LARGE.md and as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.large.checks import MISSING, checks, ratio
from benchmarks.large.judge import ABSENT
from benchmarks.large.process import Result
from benchmarks.markdown import head, record
from benchmarks.measure import Check

SLOW_SECONDS = 1.0
_COMPILE = ("trace", "canonicalise", "refine", "solve", "lower", "count", "estimate", "emit")
_TARGETS = {
    "traffic": "HBM / compulsory",
    "slowdown": "time / roofline",
    "disagreement": "objective off",
    "gap": "gap",
    "solve": "solve s",
    "lower": "lower s",
}


def document(results: Sequence[Result], effort: str) -> dict[str, Any]:
    """Everything measured, for programs."""
    rows = [
        {
            "workload": r.row.workload,
            "matmul_precision": r.row.matmul_precision,
            "seconds": dict(r.seconds),
            "peak_bytes": r.peak_bytes,
            "errors": dict(r.errors),
            **r.figures,
            "checks": [asdict(c) for c in checks(r, results)],
        }
        for r in results
    ]
    return record(effort, rows)


def page(results: Sequence[Result], effort: str) -> str:
    """The Markdown page."""
    lines = [
        *head("Programs larger than the chip", "make bench-large", effort),
        "A figure is followed by its limit. Time is the estimate of the engine timeline; the",
        "roofline is the larger of the compulsory bytes (each input and output once, captured",
        "constants not) at the HBM bandwidth of one core and the matmul work at the peak of the",
        "dtype it runs in, without the blocks of 128 x 128 that a mask removes. bf16 rows run with",
        '`matmul_precision="bf16"`. "Objective off" is |objective - estimate| / estimate; the gap',
        "is proven. The peer is nkigen-lite; by hand: bytes, time.",
        "",
        *targets(results),
        "",
        "## Times",
        "",
        "Microseconds; the bound is the solver's.",
        "",
        *times(results),
        "",
        "## Sources and results",
        "",
        "Error is max |got - want| / rms(want) in the simulator; nkicheck runs the emitted source",
        "on the same data where there is an error, elsewhere on shapes alone.",
        "",
        *sources(results),
        "",
        f"## Phases above {SLOW_SECONDS:.0f} s",
        "",
        *slow(results),
    ]
    failed = [(r, phase, error) for r in results for phase, error in r.errors.items()]
    if failed:
        lines += ["", "## Errors", ""]
        lines += [f"- {r.row.workload}, {phase}: {_plain(error)}" for r, phase, error in failed]
    return "\n".join(lines) + "\n"


def targets(results: Sequence[Result]) -> list[str]:
    """The table of figures against their limits."""
    lines = _head("workload", *_TARGETS.values(), "peer today", "by hand")
    for r in results:
        found = {c.figure: c for c in checks(r, results)}
        cells = [_cell(found.get(figure)) for figure in _TARGETS]
        lines.append(_line(r.row.workload, *cells, r.row.peer, r.row.by_hand))
    return lines


def times(results: Sequence[Result]) -> list[str]:
    """The table of modelled times and what bounds them."""
    names = ("hbm_bound_ns", "engine_bound_ns", "bound_ns", "objective_ns", "latency_ns")
    columns = ("HBM roofline", "matmul roofline", "bound", "objective", "estimate")
    lines = _head("workload", *columns, "objective / roofline", "status", "busy")
    for r in results:
        cells = [_microseconds(r.figures.get(name)) for name in names]
        over = ratio(r.figures, "objective_ns", "roofline_ns")
        cells.append("-" if over is None else f"{over:.2f}")
        cells += [r.figures.get("status", "-"), _busy(r.figures.get("busy_share", {}))]
        lines.append(_line(r.row.workload, *cells))
    return lines


def sources(results: Sequence[Result]) -> list[str]:
    """The table of sizes, sources and verdicts."""
    columns = ("instructions", "source lines", "lines / other rows", "error", "nkicheck")
    lines = _head("workload", *columns, "peak memory MB")
    for r in results:
        every = checks(r, results)
        found = {c.figure: c for c in every}
        cells = [_integer(r.figures.get(name)) for name in ("instructions", "lines")]
        cells.append(", ".join(_cell(c) for c in every if c.figure.startswith("lines")) or "-")
        cells += [_cell(found.get("error")), _verdict(found["nkicheck"])]
        lines.append(_line(r.row.workload, *cells, f"{r.peak_bytes >> 20:,}"))
    return lines


def slow(results: Sequence[Result]) -> list[str]:
    """What of the compiler took long, but for solving."""
    found = [
        f"- {r.row.workload}: {phase} {r.seconds[phase]:.1f} s"
        for r in results
        for phase in _COMPILE
        if phase != "solve" and r.seconds.get(phase, 0.0) > SLOW_SECONDS
    ]
    return found or ["None, but for solving."]


def _cell(check: Check | None) -> str:
    if check is None:
        return "-"
    if check.measured == MISSING:
        return "none ✗"
    sign, mark = ("≤", "✓") if check.met else (">", "✗")
    return f"{check.measured} {sign} {check.limit} {mark}"


def _verdict(check: Check) -> str:
    if check.measured == ABSENT:
        return ABSENT
    return "clean ✓" if check.met else f"{_plain(check.measured)} ✗"


def _plain(text: str, width: int = 300) -> str:
    """A message as part of one Markdown line."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= width else f"{flat[:width]}..."


def _microseconds(ns: float | None) -> str:
    return "-" if ns is None else f"{ns / 1e3:,.1f}"


def _integer(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _busy(shares: Mapping[str, float]) -> str:
    return " ".join(f"{engine} {share:.0%}" for engine, share in shares.items()) or "-"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_line(*cells), "|" + " --- |" * len(cells)]
