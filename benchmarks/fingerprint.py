"""Print the SHA-256 of a row's plan and source, as one process of its own finds them.

python -m benchmarks.fingerprint rmsnorm balanced
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import nkigen_cp as cp
from benchmarks.program import solve, trace
from benchmarks.rows import TABLES

_OTHER_HASH_SEED = "4711"


def fingerprint(plan: cp.Plan, source: str) -> str:
    """Hash of the plan's canonical text and of the NKI source."""
    return hashlib.sha256(f"{plan.to_json()}\0{source}".encode()).hexdigest()


def elsewhere(workload: str, effort: str) -> str:
    """The fingerprint that another process finds, under another seed of Python's string hashes.

    Raises:
        NkigenError: the other process failed; its last line says why.
    """
    command = [sys.executable, "-m", "benchmarks.fingerprint", workload, effort]
    environment = os.environ | {"PYTHONHASHSEED": _OTHER_HASH_SEED}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise cp.NkigenError(f"a second process fails: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def main() -> None:
    """Compile the row named on the command line."""
    workload, effort = sys.argv[1:]
    (row,) = (r for t in TABLES.values() for r in t.rows if r.workload == workload)
    plan = solve(row, trace(row), effort)
    print(fingerprint(plan, cp.emit_nki(cp.lower(plan))))


if __name__ == "__main__":
    main()
