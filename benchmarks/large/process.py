"""A row measured in a process of its own, which is stopped when it takes too long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.large.rows import Row

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a row told: seconds and figures, and the error of every phase that has one."""

    row: Row
    seconds: Mapping[str, float]
    figures: Mapping[str, Any]
    errors: Mapping[str, str]
    peak_bytes: int


def run(row: Row, effort: str, limit_seconds: float) -> Result:
    """Measure a row; what is not done by the limit is an error of the phase it was in."""
    command = [sys.executable, "-m", "benchmarks.large.worker", row.workload, effort]
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as complaints:
        # A session of its own, so that what the worker starts is stopped with it.
        process = subprocess.Popen(
            command,
            stdout=told,
            stderr=complaints,
            text=True,
            cwd=ROOT,  # where -m finds the benchmarks
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit_seconds)
            ended = f"ended with code {code}: {_tail(complaints)}" if code else ""
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit_seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        told.seek(0)
        return collect(row, told, ended)


def collect(row: Row, lines: Iterable[str], ended: str) -> Result:
    """The result that a worker's lines amount to; ``ended`` says how it failed, if it did."""
    seconds: dict[str, float] = {}
    figures: dict[str, Any] = {}
    errors: dict[str, str] = {}
    peak, running = 0, "start"
    for line in lines:
        if not line.endswith("\n"):  # cut off in the middle
            break
        record: dict[str, Any] = json.loads(line)
        if "begins" in record:
            running = record["begins"]
            continue
        running = "end"
        seconds[record["phase"]] = record["seconds"]
        peak = record["peak_bytes"]
        figures.update(record.get("figures", {}))
        if "error" in record:
            errors[record["phase"]] = record["error"]
    if ended:
        errors[running] = ended
    return Result(row=row, seconds=seconds, figures=figures, errors=errors, peak_bytes=peak)


def _tail(stream: IO[str]) -> str:
    stream.seek(0)
    lines = stream.read().strip().splitlines()
    return lines[-1] if lines else "no message"
