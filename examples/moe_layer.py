"""The experts of a mixture-of-experts layer: each token fetches the weights of its best two.

Run it: ``python examples/moe_layer.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from show import show

from nkigen_cp import ops


def experts(x: Any, router: Any, gate_up: Any, down: Any, *, chosen: int) -> Any:
    """(tokens, H), (H, E), (E, H, 2I), (E, I, H) -> (tokens, H)."""
    tokens, hidden = x.shape
    weight, expert = ops.topk(ops.softmax(x @ router), chosen)
    weight = weight / np.sum(weight, axis=-1, keepdims=True)
    mixed = np.reshape(x, (tokens, 1, 1, hidden)) @ gate_up[expert]
    gate, up = np.split(mixed, 2, axis=-1)
    each = (ops.silu(gate) * up) @ down[expert]
    return np.sum(np.reshape(weight, (tokens, chosen, 1, 1)) * each, axis=1)[:, 0]


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    tokens, hidden, count, inner = 4, 128, 8, 64
    shapes = ((tokens, hidden), (hidden, count), (count, hidden, 2 * inner), (count, inner, hidden))
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    show(experts, *(a * np.float32(a.shape[-2] ** -0.5) for a in arrays), chosen=2)
