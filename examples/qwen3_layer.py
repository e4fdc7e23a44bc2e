"""One Qwen3-Embedding-0.6B layer through the whole compiler: trace, solve, lower, simulate, emit.

Run it from the project root: ``python examples/qwen3_layer.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import nkigen_cp as cp
from nkigen_cp.workloads import WORKLOADS


def main() -> None:
    """Compile the layer for 128 tokens in bfloat16 and write its NKI source."""
    layer = WORKLOADS["qwen3emb_layer_s128_bf16"]  # the function is plain numpy; so are its inputs
    arrays = layer.make_inputs(seed=0)

    graph = cp.trace(layer.function, *(cp.spec(i.shape, i.dtype) for i in layer.inputs))
    plan = cp.solve(graph, target=cp.TRN2)
    print(plan.explain())

    kernel = cp.lower(plan)
    counts = cp.count(kernel)
    print(f"{counts.instructions:,} instructions; HBM traffic {counts.ratio:.2f} x compulsory")

    simulated = np.asarray(cp.simulate(kernel, *arrays), np.float32)
    exact = layer.function(*(array.astype(np.float32) for array in arrays))
    error = np.abs(simulated - exact).max() / np.abs(exact).max()
    print(f"largest error against numpy in float32: {error:.2%} of the largest value")

    target = Path("build/examples/qwen3_layer_nki.py")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(cp.emit_nki(kernel), encoding="utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
