"""Measure one row and print a JSON line per phase: ``python -m benchmarks.large.worker NAME``.

A line says that a phase begins; the next one has its seconds, its figures or its error, and the
peak memory so far. A row that is stopped has told everything up to there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from typing import Any

import nkigen_cp as cp
from benchmarks.large.phases import PHASES, Phase, State
from benchmarks.large.rows import ROWS

MEMORY_BYTES = 14 << 30
"""What a row may take; more would make the machine swap and every time meaningless."""


def main() -> None:
    """Measure the row named on the command line."""
    name, effort = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    (row,) = (r for r in ROWS if r.workload == name)
    state = State(row=row, effort=effort)
    for phase in PHASES:
        ready = all(getattr(state, need) is not None for need in phase.needs)
        if ready and (row.numeric or not phase.numeric):
            _tell({"begins": phase.name})
            _tell(_measured(phase, state))


def _measured(phase: Phase, state: State) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        told: dict[str, Any] = {"figures": phase.run(state)}
    except cp.NkigenError as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    except Exception as error:  # a defect in one phase shall not hide what the others find
        told = {"error": f"{type(error).__name__}: {error}{_where(error)}"}
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return {"phase": phase.name, "seconds": seconds, "peak_bytes": peak, **told}


def _where(error: Exception) -> str:
    """The innermost place the error passed, as `` (file:line)``."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _tell(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
