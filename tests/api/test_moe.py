"""Mixture-of-experts layers of small sizes, from the kernel to the simulator's arrays."""

# The layers take and return Any, whose members strict mode calls unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.workloads import moe

Array = NDArray[Any]
HIDDEN, HEADS, HEAD_DIM, SLOTS, EXPERTS, INTERMEDIATE = 64, 2, 32, 64, 8, 16
SHAPES = {
    "qkv_weight": (HIDDEN, (HEADS + 2) * HEAD_DIM),
    "o_weight": (HEADS * HEAD_DIM, HIDDEN),
    "input_weight": (HIDDEN,),
    "q_norm_weight": (HEAD_DIM,),
    "k_norm_weight": (HEAD_DIM,),
    "post_attention_weight": (HIDDEN,),
    "router_weight": (HIDDEN, EXPERTS),
    "gate_up_weight": (EXPERTS, HIDDEN, 2 * INTERMEDIATE),
    "down_weight": (EXPERTS, INTERMEDIATE, HIDDEN),
    "cache_k": (1, SLOTS, 1, HEAD_DIM),
    "cache_v": (1, SLOTS, 1, HEAD_DIM),
}


def drawn(length: int) -> dict[str, Array]:
    """x and all of SHAPES; matrices are scaled to keep what they multiply as large as it is."""
    rng = np.random.default_rng(length)
    found: dict[str, Array] = {"x": rng.standard_normal((1, length, HIDDEN), np.float32)}
    for name, shape in SHAPES.items():
        scale = shape[-2] ** -0.5 if name.endswith("weight") and len(shape) > 1 else 1.0
        found[name] = np.float32(scale) * rng.standard_normal(shape, np.float32)
    return found


def decoded(position: int) -> dict[str, Array]:
    cos, sin = moe.rope_tables(SLOTS, HEAD_DIM)
    mask = np.triu(np.full((SLOTS, SLOTS), moe.MASKED, np.float32), k=1)
    place = np.array([position], np.int32)
    return {"start_pos": place, "cos": cos, "sin": sin, "causal_mask": mask}


def assert_same(function: Any, arrays: dict[str, Array]) -> None:
    """The layer and both caches are numpy's in float64; the caches are updated in place."""
    graph = cp.trace(function, *arrays.values(), chosen=2)
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    assert all(kernel.buffers[n].memory is Memory.UPDATED for n in ("cache_k", "cache_v"))
    given = {name: a.copy() for name, a in arrays.items()}
    found = cp.simulate(kernel, *given.values(), chosen=2)
    wide = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in arrays.items()}
    expected = function(*wide.values(), chosen=2)
    pairs: list[tuple[Any, Any]] = [
        (found, expected),
        *((given[n], wide[n]) for n in ("cache_k", "cache_v")),
    ]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_prefill() -> None:
    assert_same(moe.prefill_layer, drawn(3))


def test_decode() -> None:
    assert_same(moe.decode_layer, drawn(1) | decoded(37))
