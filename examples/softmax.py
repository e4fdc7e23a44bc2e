"""Softmax of rows longer than one would like: exponential and sum in one instruction.

Run it: ``python examples/softmax.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from show import show


def softmax(x: Any) -> Any:
    """(rows, N) -> (rows, N), over the last axis."""
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


if __name__ == "__main__":
    show(softmax, np.random.default_rng(0).standard_normal((256, 4000), np.float32))
