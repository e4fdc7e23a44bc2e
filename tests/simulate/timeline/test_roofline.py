"""The roofline against figures from elsewhere, and masked blocks against counting elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.simulate.timeline.blocks import BLOCK
from nkigen_cp.simulate.timeline.masked import idle_fractions, masked_blocks
from nkigen_cp.simulate.timeline.roofline import roofline
from nkigen_cp.workloads import WORKLOADS

HEADS, QUERIES, KEYS, DEPTH = 2, 300, 520, 16
SHAPES = ((1, HEADS, QUERIES, DEPTH), (1, HEADS, KEYS, DEPTH), (1, HEADS, KEYS, DEPTH))


def traced(name: str) -> cp.Graph:
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    return cp.trace(workload.function, *specs, **workload.static)


@pytest.mark.parametrize(
    ("name", "precision", "microseconds"),
    [
        ("softmax", "exact", 5.79),
        ("rmsnorm", "exact", 2.90),
        ("layernorm", "exact", 2.92),
        ("feedforward", "exact", 122.88),
        ("qwen3emb_layer_s128_bf16", "bf16", 88.46),
        ("qwen3emb_layer_s2048_bf16", "bf16", 1051.31),
        ("matmul_2048x2048x2048_bf16", "exact", 218.45),
        ("matmul_4096x4096x4096_bf16", "exact", 1747.63),
        ("sdpa_1_16_2048_128_bf16", "exact", 436.91),
        ("sdpa_causal_1_16_2048_128_bf16", "exact", 232.11),
    ],
)
def test_figures_of_hand_tuned_kernels(name: str, precision: str, microseconds: float) -> None:
    found = roofline(traced(name), cp.TRN2, matmul_precision=precision)
    assert found.ns / 1e3 == pytest.approx(microseconds, abs=0.006)


def test_the_rotary_tables_make_the_scores_of_an_exact_layer_float32() -> None:
    graph = traced("qwen3emb_layer_s128_bf16")
    exact, narrow = (roofline(graph, cp.TRN2, matmul_precision=p) for p in ("exact", "bf16"))
    scores = 16 * 128**3 / 128**2 / 2.4
    assert exact.engine_bound_ns - narrow.engine_bound_ns == pytest.approx(3 * scores)
    assert exact.hbm_bound_ns == narrow.hbm_bound_ns


def attention(
    mask: np.ndarray[Any, Any], *, then: Callable[[Any], Any] = lambda scores: scores
) -> cp.Graph:
    def program(q: Any, k: Any, v: Any) -> Any:
        scores = then(np.matmul(q, np.transpose(k, (0, 1, 3, 2))) * 0.25 + mask)
        exps = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        return np.matmul(exps / np.sum(exps, axis=-1, keepdims=True), v)

    return cp.trace(program, *(cp.spec(shape, "bfloat16") for shape in SHAPES))


def halved(x: Any) -> Any:
    return x * 0.5


def negated(x: Any) -> Any:
    return -x


def squared(x: Any) -> Any:
    return x * x


def counted(mask: np.ndarray[Any, Any]) -> float:
    """The share of elements in blocks that are masked throughout, by looking at every block."""
    full = np.broadcast_to(mask, (1, HEADS, QUERIES, KEYS))
    masked = 0
    for head in range(HEADS):
        for q in range(0, QUERIES, BLOCK):
            for k in range(0, KEYS, BLOCK):
                block = full[0, head, q : q + BLOCK, k : k + BLOCK]
                masked += block.size if (block <= -10000).all() else 0
    return masked / full.size


def random_mask(seed: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Blocks masked at random, some of them but for one element; the first key is never masked."""
    rng = np.random.default_rng(seed)
    grid = rng.random((*shape[:-2], 3, 5)) < 0.6
    fine = np.repeat(np.repeat(grid, BLOCK, axis=-2), BLOCK, axis=-1)
    mask = np.where(fine[..., : shape[-2], : shape[-1]], np.float32(-2e4), np.float32(0))
    mask[..., 200, 300] = 0
    mask[..., 0] = 0
    return mask


MASKS = {
    "shared by the heads": random_mask(1, (QUERIES, KEYS)),
    "one per head": random_mask(2, (1, HEADS, QUERIES, KEYS)),
}


@pytest.mark.parametrize("name", ["shared by the heads", "one per head"])
def test_masked_blocks_are_no_work_in_either_product(name: str) -> None:
    mask = MASKS[name]
    found = idle_fractions(canonicalise(attention(mask)))
    assert 0.2 < counted(mask) < 0.9
    assert list(found.values()) == [pytest.approx(counted(mask))] * 2


def test_a_mask_of_keys_alone() -> None:
    mask = np.zeros((1, 1, 1, KEYS), np.float32)
    mask[..., 2 * BLOCK :] = -10000
    found = idle_fractions(canonicalise(attention(mask)))
    assert list(found.values()) == [pytest.approx(1 - 2 * BLOCK / KEYS)] * 2


def test_assuming_nothing_counts_everything() -> None:
    graph = attention(MASKS["shared by the heads"])
    assumed, plain = (roofline(graph, cp.TRN2, assume_masked=a) for a in (True, False))
    share = 1 - counted(MASKS["shared by the heads"])
    assert assumed.engine_bound_ns == pytest.approx(plain.engine_bound_ns * share)
    assert assumed.hbm_bound_ns == plain.hbm_bound_ns


@pytest.mark.parametrize(
    "then", [halved, negated, np.abs, squared], ids=["halved", "negated", "abs", "squared"]
)
def test_what_undoes_a_mask_leaves_the_work(then: Callable[[Any], Any]) -> None:
    found = idle_fractions(canonicalise(attention(MASKS["shared by the heads"], then=then)))
    assert list(found.values()) == [0.0, 0.0]


def test_a_weaker_mask_is_none() -> None:
    found = idle_fractions(canonicalise(attention(MASKS["shared by the heads"] * 0.4)))
    assert list(found.values()) == [0.0, 0.0]


def test_scores_that_leave_the_kernel_are_computed() -> None:
    def program(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(q, np.transpose(k, (0, 1, 3, 2)))
        shifted = scores + MASKS["shared by the heads"]
        exps = np.exp(shifted - np.max(shifted, axis=-1, keepdims=True))
        return scores, np.matmul(exps, v)

    graph = cp.trace(program, *(cp.spec(shape, "bfloat16") for shape in SHAPES))
    found = list(idle_fractions(canonicalise(graph)).values())
    assert found == [0.0, pytest.approx(counted(MASKS["shared by the heads"]))]


def test_transposed_scores() -> None:
    mask: Any = MASKS["shared by the heads"]

    def program(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(k, np.transpose(q, (0, 1, 3, 2))) + mask.T
        exps = np.exp(scores - np.max(scores, axis=-2, keepdims=True))
        return np.matmul(np.transpose(exps, (0, 1, 3, 2)), v)

    graph = cp.trace(program, *(cp.spec(shape, "bfloat16") for shape in SHAPES))
    found = list(idle_fractions(canonicalise(graph)).values())
    assert found == [pytest.approx(counted(mask))] * 2


def test_a_mask_is_judged_as_its_dtype_rounds_it() -> None:
    narrow = np.full((128, 128), -10000, ml_dtypes.bfloat16)
    assert narrow.astype(np.float32).max() > -10000
    assert masked_blocks(narrow) is not None
    assert masked_blocks(np.full((128, 128), -9999, np.float32)) is None
    assert masked_blocks(np.full((128, 128), -20000, np.int32)) is None


@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_an_estimate_has_the_roofline_of_its_graph(precision: str) -> None:
    def program(x: Any, w: Any) -> Any:
        return x @ w + np.arange(64, dtype=np.float32)

    graph = cp.trace(program, cp.spec((96, 256), "float32"), cp.spec((256, 64), "float32"))
    plan = cp.solve(graph, effort="fast", matmul_precision=precision)
    found, want = cp.estimate(cp.lower(plan)), roofline(graph, cp.TRN2, matmul_precision=precision)
    assert found.engine_bound_ns == want.engine_bound_ns
    assert found.hbm_bound_ns == want.hbm_bound_ns == 4 * (96 * 256 + 256 * 64 + 96 * 64) / 362.5
