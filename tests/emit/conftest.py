"""The independent judge of emitted source, when it lies beside the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Array = Any
Judge = Callable[[str, Sequence[Array], Sequence[Array]], Mapping[str, Any] | None]
_RAW = {"bfloat16": np.uint16, "float8_e4m3": np.uint8}
_CHECKER = Path(__file__).resolve().parents[3] / "shared" / "nkicheck" / "run.py"


def _save(path: Path, arrays: Sequence[Array]) -> None:
    entries: dict[str, Array] = {}
    for position, array in enumerate(arrays):
        raw = _RAW.get(array.dtype.name)
        key = f"a{position}@{array.dtype.name}" if raw else f"a{position}"
        entries[key] = array.view(raw) if raw else array
    with path.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Runs source under nkicheck, in its own process as it brings a module named ``nki``.

    Returns the report after asserting that it is clean, or None without the checker: a user's
    checkout does not have it, and the structural half of each test still runs there.
    """

    def run(
        source: str, inputs: Sequence[Array], expected: Sequence[Array]
    ) -> Mapping[str, Any] | None:
        if not _CHECKER.exists():
            return None
        (tmp_path / "kernel.py").write_text(source)
        _save(tmp_path / "inputs.npz", inputs)
        _save(tmp_path / "expected.npz", expected)
        command = [sys.executable, str(_CHECKER), str(tmp_path / "kernel.py"), "--json"]
        command += ["--inputs", str(tmp_path / "inputs.npz")]
        command += ["--expected", str(tmp_path / "expected.npz")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        assert report.get("ok"), f"{source}\n{done.stdout}\n{done.stderr}"
        return report

    return run
