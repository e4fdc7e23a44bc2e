"""The benchmark's results as a Markdown page and as a JSON document."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Check, Measured
from benchmarks.rows import Table

PASS, MISS = "✓", "✗ MISS"
_HEADINGS = ("HBM / compulsory", "instructions", "error", "peer today", "by hand")
_TIMES = ("first_s", "solve_s", "lower_s")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpu": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ortools": version("ortools"),
        "numpy": version("numpy"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def record(effort: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of figures with what they depend on."""
    return {"machine": machine(), "effort": effort, "target": "trn2", "rows": list(rows)}


def head(title: str, command: str, effort: str) -> list[str]:
    """The first lines of a page: what wrote it, and on what it was measured."""
    about = machine()
    return [
        f"# {title}",
        "",
        f"Written by `{command}`; do not edit. Target trn2, "
        f'`effort="{effort}"`, ortools {about["ortools"]}, Python {about["python"]}, '
        f"{about['cores']} cores of {about['cpu']}.",
        "",
    ]


def document(results: Sequence[Measured], effort: str) -> dict[str, Any]:
    """Everything measured, for programs."""
    rows = [
        {
            "workload": r.row.workload,
            "matmul_precision": r.row.matmul_precision,
            "peer": {"traffic": r.row.peer_traffic, "instructions": r.row.peer_instructions},
            **r.figures,
            "checks": {
                c.figure: {"measured": c.measured, "limit": c.limit, "met": c.met} for c in r.checks
            },
        }
        for r in results
    ]
    return record(effort, rows)


def page(table: Table, results: Sequence[Measured], effort: str) -> str:
    """The page of a table."""
    lines = [
        *head(table.title, table.command, effort),
        "A figure is followed by its limit. Instructions are counted as executed, HBM bytes as the",
        "DMAs move them. Error is max |got - want| / rms(want) against the program in float64; the",
        "limit of a bf16 row is 1.5 times the error of rounding every op to its graph dtype, and",
        'its matmuls run in bf16 (`matmul_precision="bf16"`). The peer is nkigen-lite. "Checked"',
        "means: the emitted source runs under an independent checker of the documented hardware",
        "rules with results within the same limits, no rule broken and the same counts.",
        "",
        *targets(results),
        "",
        "## Solving",
        "",
        "Times are of the cost model, in microseconds; bound and gap are proven for that model.",
        "Seconds are of this machine. Identical: a second process, with other hash seeds, finds",
        "the same plan and the same source, byte for byte.",
        "",
        *solving(results),
    ]
    missed = [(r.row.workload, c) for r in results for c in r.checks if not c.met]
    if missed:
        lines += ["", "## Missed", ""]
        lines += [f"- {w}: {c.figure} is {c.measured}, limit {c.limit}" for w, c in missed]
    return "\n".join(lines) + "\n"


def targets(results: Sequence[Measured]) -> list[str]:
    """The table of figures against their limits."""
    lines = _head("workload", *_HEADINGS, "checked")
    for r in results:
        by_name = {c.figure: c for c in r.checks}
        cells = [_limited(by_name.get(f)) for f in ("traffic", "instructions", "error")]
        cells += [_peer(r), r.row.by_hand]
        cells.append(_mark(by_name.get("nkicheck")))
        lines.append(_line(r.row.workload, *cells))
    return lines


def summary(results: Sequence[Measured]) -> str:
    """The short table of README.md: what was reached beside what the peer reaches."""
    lines = _head("workload", "HBM / compulsory", "instructions", "gap", "peer today")
    for r in results:
        f = r.figures
        if "error" in f:
            lines.append(_line(r.row.workload, MISS, MISS, MISS, _peer(r)))
            continue
        cells = [f"{f['traffic']:.2f}x", f"{f['instructions']:,}", f"{f['gap']:.1%}", _peer(r)]
        lines.append(_line(r.row.workload, *cells))
    return "\n".join(lines) + "\n"


def solving(results: Sequence[Measured]) -> list[str]:
    """The table of the solver's figures."""
    columns = ("status", "objective", "bound", "gap", "first plan s", "solve s", "lower s")
    lines = _head("workload", *columns, "identical")
    for r in results:
        if "error" in r.figures:
            lines.append(_line(r.row.workload, *["-"] * len(columns), MISS))
            continue
        by_name = {c.figure: c for c in r.checks}
        f = r.figures
        cells = [f["status"], f"{f['objective_ns'] / 1e3:,.1f}", f"{f['bound_ns'] / 1e3:,.1f}"]
        cells.append(_limited(by_name["gap"]) if "gap" in by_name else f"{f['gap']:.2f}")
        cells += [_limited(by_name[t]) if t in by_name else f"{f[t]:.2f}" for t in _TIMES]
        lines.append(_line(r.row.workload, *cells, _mark(by_name["identical"])))
    return lines


def _peer(result: Measured) -> str:
    return f"{result.row.peer_traffic:.1f}x, {result.row.peer_instructions:,}"


def _limited(check: Check | None) -> str:
    if check is None:
        return MISS
    return f"{check.measured} ≤ {check.limit}" if check.met else f"{check.measured} {MISS}"


def _mark(check: Check | None) -> str:
    if check is None or not check.met:
        return MISS
    return PASS if check.measured in ("yes", "clean") else check.measured


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_line(*cells), "|" + " --- |" * len(cells)]
