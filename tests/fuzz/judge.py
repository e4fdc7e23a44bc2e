"""Emitted sources under ``../shared/nkicheck``, where that folder lies beside the repository.

The checker brings modules named ``nki``, so it runs in a process of its own, ``judge_worker``, for
many kernels at once.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nkigen_cp as cp
from tests.fuzz.pipeline import Done

CHECKER = Path(__file__).resolve().parents[3] / "shared" / "nkicheck"


def check_emitted(folder: Path, programs: Sequence[Done]) -> None:
    """Every kernel's source gives the simulator's results there, breaks no rule, and counts alike.

    Does nothing without the checker, which a user's checkout does not have.
    """
    compiled = {f"kernel_{k}": d for k, d in enumerate(programs) if d.kernel is not None}
    if not compiled or not (CHECKER / "run.py").exists():
        return
    for name, done in compiled.items():
        _write_case(folder, name, done)
    reports = _judge(folder)
    for name, done in compiled.items():
        problem = _problem(reports[name], done)
        assert problem is None, f"{name}: {problem}\n{done.program.describe()}"


def _write_case(folder: Path, name: str, done: Done) -> None:
    """A kernel's source, and beside it its arguments and its results on the simulator."""
    assert done.kernel is not None
    (folder / f"{name}.py").write_text(cp.emit_nki(done.kernel))
    inputs = [*done.program.arrays, *done.kernel.bound_inputs.values()]
    sides = [[np.reshape(a, a.shape or (1,)) for a in side] for side in (inputs, done.outputs)]
    (folder / f"{name}.pickle").write_bytes(pickle.dumps(sides))


def _judge(folder: Path) -> dict[str, dict[str, Any]]:
    """The checker's report on every case of a folder, by name."""
    worker = Path(__file__).with_name("judge_worker.py")
    command = [sys.executable, str(worker), str(CHECKER), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, f"the checker ended with code {done.returncode}:\n{done.stderr}"
    found: dict[str, dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return found


def _problem(report: dict[str, Any], done: Done) -> str | None:
    """What the checker holds against a kernel."""
    assert done.kernel is not None
    if not report["ok"]:
        told = {k: v for k, v in report.items() if k in ("error", "lint", "compare")}
        return f"{told} {report.get('stats', {}).get('violations')}"
    counts, stats = cp.count(done.kernel), report["stats"]
    moved = sum(v["bytes"] * way.count("hbm") for way, v in stats["dma"].items())
    if (counts.instructions, counts.hbm_bytes) == (stats["instructions"], moved):
        return None
    return (
        f"counted {counts.instructions} instructions and {counts.hbm_bytes} HBM bytes, the checker "
        f"{stats['instructions']} and {moved}"
    )
