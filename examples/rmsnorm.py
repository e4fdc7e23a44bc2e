"""RMS norm of 512 rows: one pass over HBM, the row sums fused into the squares.

Run it: ``python examples/rmsnorm.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from show import show


def rmsnorm(x: Any, weight: Any) -> Any:
    """(rows, H) and (H,) -> (rows, H)."""
    scale = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + 1e-6)
    return x / scale * weight


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    show(rmsnorm, rng.standard_normal((512, 1024), np.float32), np.ones(1024, np.float32))
