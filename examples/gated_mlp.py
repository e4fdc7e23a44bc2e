"""The gated MLP of Llama and Qwen: three matmuls, and nothing in between goes through HBM.

Run it: ``python examples/gated_mlp.py``.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from show import show


def gated_mlp(x: Any, w_gate: Any, w_up: Any, w_down: Any) -> Any:
    """(S, H), (H, I), (H, I), (I, H) -> (S, H)."""
    gate = x @ w_gate
    silu = gate / (1 + np.exp(-gate))
    return (silu * (x @ w_up)) @ w_down


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    shapes = ((128, 512), (512, 1024), (512, 1024), (1024, 512))
    arrays = [rng.standard_normal(s, np.float32) * s[0] ** -0.5 for s in shapes]
    show(gated_mlp, *(a.astype(ml_dtypes.bfloat16) for a in arrays), tolerance=4e-2)
