"""The independent judge of emitted source, when it lies beside the repository.

``../shared/nkicheck`` runs NKI source on the CPU under the documented hardware rules. It brings a
module named ``nki`` of its own, so it runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nkigen_cp as cp
from benchmarks.program import Reference
from nkigen_cp.ir.nki.kernel import Kernel

CHECKER = Path(__file__).resolve().parents[2] / "shared" / "nkicheck" / "run.py"
_RAW: Mapping[str, type[np.generic]] = {
    "bfloat16": np.uint16,
    "float8_e4m3": np.uint8,
    "float8_e5m2": np.uint8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the checker says of a kernel; ``problems`` is empty if nothing is wrong.

    ``errors`` are max |got - want| / rms(want) per output, counts are of executed instructions and
    of bytes that cross the HBM's border. ``warnings`` names what is legal and doubtful.
    """

    problems: tuple[str, ...]
    errors: tuple[float, ...] = ()
    instructions: int = 0
    hbm_bytes: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def check(source: str, kernel: Kernel, reference: Reference) -> Verdict:
    """Run the source on the reference's inputs; compare results, rules, lint and counts."""
    report = _report(source, kernel, reference)
    if "error" in report:
        return Verdict(problems=(f"does not run: {report['error']}",))
    stats = report["stats"]
    errors = _errors(report["compare"], reference)
    moved = sum(way["bytes"] * name.count("hbm") for name, way in stats["dma"].items())
    counts = cp.count(kernel)
    dtypes = [kernel.buffers[name].dtype.nki for name in kernel.outputs]
    found = {
        "lint": report["lint"],
        "rules broken": stats["violation_counts"],
        "errors above the limits": () if reference.accepts(errors) else errors,
        "output dtypes": _differ([o["dtype"] for o in report["outputs"]], dtypes),
        "instructions": _differ(stats["instructions"], counts.instructions),
        "HBM bytes": _differ(moved, counts.hbm_bytes),
    }
    return Verdict(
        problems=tuple(f"{what}: {value}" for what, value in found.items() if value),
        errors=tuple(errors),
        instructions=stats["instructions"],
        hbm_bytes=moved,
        warnings=tuple(stats["warnings"]),
    )


def _differ(got: Any, want: Any) -> str:
    return "" if got == want else f"{got}, but the kernel has {want}"


def _errors(rows: Sequence[Mapping[str, Any]], reference: Reference) -> list[float]:
    """Errors relative to the wanted rms; infinite for a wrong shape or a value not finite."""
    found: list[float] = []
    for row, want in zip(rows, reference.want, strict=True):
        rms = float(np.sqrt(np.mean(np.square(want)))) or 1.0
        usable = "max_abs_err" in row and not row["unexpected_nan"] and not row["mismatches"]
        found.append(row["max_abs_err"] / rms if usable else float("inf"))
    return found


def _report(source: str, kernel: Kernel, reference: Reference) -> dict[str, Any]:
    arrays = [*reference.inputs, *kernel.bound_inputs.values()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.py"
        path.write_text(source, encoding="utf-8")
        _save(path.with_name("inputs.npz"), [np.atleast_1d(a) for a in arrays])
        _save(path.with_name("expected.npz"), reference.want)
        command = [sys.executable, str(CHECKER), str(path), "--json", "--any-dtype", "--rtol", "0"]
        command += ["--inputs", str(path.with_name("inputs.npz"))]
        # Finite, so that an infinite result is a mismatch; the real limit is per output.
        command += ["--expected", str(path.with_name("expected.npz")), "--atol", "1e30"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        return {"error": f"exit code {done.returncode}: {done.stderr[-500:]}"}
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _save(path: Path, arrays: Sequence[Any]) -> None:
    """An npz in file order; formats numpy lacks travel as raw bits under a tagged name."""
    entries: dict[str, Any] = {}
    for position, array in enumerate(arrays):
        raw = _RAW.get(array.dtype.name)
        tag = "" if raw is None else f"@{array.dtype.name}"
        entries[f"a{position}{tag}"] = array if raw is None else array.view(raw)
    with path.open("wb") as file:
        np.savez(file, **entries)
