"""Causal attention without ever holding all scores in HBM, as flash attention does it.

The kernel is written as the formula; that scores stay on chip is decided by the solver.
Run it: ``python examples/flash_attention.py``.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from show import show


def attention(q: Any, k: Any, v: Any) -> Any:
    """(heads, S, D) each -> (heads, S, D); no query sees a later key."""
    seq, head_dim = q.shape[1:]
    mask = np.triu(np.full((seq, seq), -1e4, np.float32), k=1)
    scores = q @ np.transpose(k, (0, 2, 1)) / math.sqrt(head_dim) + mask
    exps = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    likely = exps / np.sum(exps, axis=-1, keepdims=True)
    return (likely.astype(q.dtype) @ v).astype(q.dtype)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 2, 512, 128), np.float32).astype(ml_dtypes.bfloat16)
    show(attention, q, k, v, tolerance=4e-2)
