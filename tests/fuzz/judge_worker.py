"""A process of its own for the checker: ``judge_worker.py CHECKER FOLDER`` writes report.json.

Every ``NAME.py`` of the folder is a kernel, ``NAME.pickle`` beside it its arguments and results.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # pyright: ignore[reportUnusedImport]  (bfloat16 in the pickles)
import numpy as np

TOLERANCE = {4: 2e-5, 2: 2.0**-7, 1: 0.0}
"""By the result's itemsize: order of summation in float32, one rounding in bfloat16."""


def main(checker: Path, folder: Path) -> None:
    """Run every case; tolerances are relative to the elements and to the smallest result's rms."""
    sys.path.insert(0, str(checker))
    check = importlib.import_module("run").check

    reports: dict[str, Any] = {}
    for path in sorted(folder.glob("*.py")):
        inputs: list[Any]
        outputs: list[Any]
        inputs, outputs = pickle.loads(path.with_suffix(".pickle").read_bytes())
        wide = [np.ravel(o.astype(np.float64)) for o in outputs]
        scale = min(float(np.sqrt(np.mean(w * w))) for w in wide)
        rtol = TOLERANCE[min(o.dtype.itemsize for o in outputs)]
        reports[path.stem] = check(
            str(path), inputs=inputs, expected=outputs, rtol=rtol, atol=rtol * scale
        )
    (folder / "report.json").write_text(json.dumps(reports, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
