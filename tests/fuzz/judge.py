"""Emitted sources under ``../shared/nkicheck``, where that folder lies beside the repository.

The checker brings modules named ``nki``, so it runs in a process of its own, many kernels at once.
Run as a script, this file is that process: its argument is the folder of cases.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (numpy finds bfloat16 arrays' dtype)
import numpy as np

CHECKER = Path(__file__).resolve().parents[3] / "shared" / "nkicheck"
RTOL, ATOL = {4: 2e-5, 2: 2.0**-7}, {4: 2e-5, 2: 2.0**-7}
"""By the result's itemsize: order of summation in float32, one rounding in bfloat16."""


def available() -> bool:
    return (CHECKER / "run.py").exists()


def write_case(
    folder: Path, name: str, source: str, inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """Put a kernel with its arguments and its results on the simulator into a folder of cases."""
    (folder / f"{name}.py").write_text(source)
    shaped = [np.reshape(a, np.shape(a) or (1,)) for a in inputs]
    wanted = [np.reshape(a, np.shape(a) or (1,)) for a in outputs]
    (folder / f"{name}.pickle").write_bytes(pickle.dumps((shaped, wanted)))


def judge(folder: Path) -> dict[str, dict[str, Any]]:
    """The checker's report on every case of a folder, by name."""
    command = [sys.executable, str(Path(__file__)), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"the checker ended with code {done.returncode}:\n{done.stderr}")
    found: dict[str, dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return found


def _main(folder: Path) -> None:
    sys.path.insert(0, str(CHECKER))
    from run import check  # pyright: ignore

    reports: dict[str, Any] = {}
    for path in sorted(folder.glob("*.py")):
        inputs, outputs = pickle.loads(path.with_suffix(".pickle").read_bytes())
        scale = [float(np.sqrt(np.mean(np.square(np.asarray(o, np.float64))))) for o in outputs]
        width = min(o.dtype.itemsize for o in outputs)
        reports[path.stem] = check(
            str(path), inputs=inputs, expected=outputs, rtol=RTOL[width],
            atol=ATOL[width] * min(scale),
        )  # fmt: skip
    (folder / "report.json").write_text(json.dumps(reports, default=str))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
