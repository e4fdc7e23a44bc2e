"""The checker of emitted source without data: rules and counts of programs too long to execute."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nkigen_cp as cp
from benchmarks.nkicheck import CHECKER, Verdict
from nkigen_cp.ir.nki.kernel import Kernel

ABSENT = "not at hand"


def count(source: str, kernel: Kernel) -> Verdict:
    """Run the source on shapes alone; compare rules, lint and counts with the kernel's."""
    report = _report(source, kernel)
    if "error" in report:
        return Verdict(problems=(f"does not run: {report['error']}",))
    stats, counts = report["stats"], cp.count(kernel)
    moved = sum(way["bytes"] * name.count("hbm") for name, way in stats["dma"].items())
    pairs = {
        "instructions": (stats["instructions"], counts.instructions),
        "HBM bytes": (moved, counts.hbm_bytes),
    }
    problems = [f"{n}: {got}, but the kernel has {w}" for n, (got, w) in pairs.items() if got != w]
    found = {"lint": report["lint"], "rules broken": stats["violation_counts"]}
    problems += [f"{what}: {value}" for what, value in found.items() if value]
    return Verdict(
        problems=tuple(problems),
        instructions=stats["instructions"],
        hbm_bytes=moved,
        warnings=tuple(stats["warnings"]),
    )


def _report(source: str, kernel: Kernel) -> dict[str, Any]:
    arguments = [kernel.buffers[name] for name in (*kernel.inputs, *kernel.bound_inputs)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.py"
        path.write_text(source, encoding="utf-8")
        command = [sys.executable, str(CHECKER), str(path), "--json"]
        for buffer in arguments:
            command += ["--spec", f"{'x'.join(map(str, buffer.shape))}:{buffer.dtype.name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        return {"error": f"exit code {done.returncode}: {done.stderr[-500:]}"}
    report: dict[str, Any] = json.loads(done.stdout)
    return report
