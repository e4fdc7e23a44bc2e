"""One rank's share of a Qwen3 mixture-of-experts layer, as plain numpy functions.

They run on numpy arrays and on traced tensors alike, and read every size from their arguments.
Shapes below use L tokens, H hidden, N query heads, one key/value head, D per head, C cache slots,
E experts of I intermediate, of which each token takes k. Results are what the rank has before they
are added up over all ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nkigen_cp.frontend import ops
from nkigen_cp.workloads.qwen3 import rmsnorm
from nkigen_cp.workloads.workload import ROPE_BASE, Input, Workload

MASKED = -100000.0
HIDDEN, HEADS, HEAD_DIM, SLOTS = 2048, 8, 128, 4096
EXPERTS, CHOSEN, INTERMEDIATE = 128, 8, 192
LENGTHS = (1, 5, 8, 32)

_WEIGHTS = (
    ("qkv_weight", (HIDDEN, (HEADS + 2) * HEAD_DIM)),
    ("o_weight", (HEADS * HEAD_DIM, HIDDEN)),
    ("input_weight", (HIDDEN,)),
    ("q_norm_weight", (HEAD_DIM,)),
    ("k_norm_weight", (HEAD_DIM,)),
    ("post_attention_weight", (HIDDEN,)),
    ("router_weight", (HIDDEN, EXPERTS)),
    ("gate_up_weight", (EXPERTS, HIDDEN, 2 * INTERMEDIATE)),
    ("down_weight", (EXPERTS, INTERMEDIATE, HIDDEN)),
    ("cache_k", (1, SLOTS, 1, HEAD_DIM)),
    ("cache_v", (1, SLOTS, 1, HEAD_DIM)),
)
_DECODED = (
    Input("start_pos", (1,), "int32"),
    Input("cos", (SLOTS, HEAD_DIM // 2), "bfloat16"),
    Input("sin", (SLOTS, HEAD_DIM // 2), "bfloat16"),
    Input("causal_mask", (SLOTS, SLOTS), "bfloat16"),
)


def rows() -> Iterator[Workload]:
    """The layer of Qwen3-30B-A3B on one of four ranks, in bfloat16."""
    static = {"chosen": CHOSEN}
    weights = tuple(Input(name, shape, "bfloat16") for name, shape in _WEIGHTS)
    for length in LENGTHS:
        inputs = (Input("x", (1, length, HIDDEN), "bfloat16"), *weights)
        name = f"moe_layer_prefill_L{length}_bf16"
        yield Workload(name=name, function=prefill_layer, inputs=inputs, static=static)
    inputs = (Input("x", (1, 1, HIDDEN), "bfloat16"), *weights, *_DECODED)
    yield Workload(
        name="moe_layer_decode_bf16", function=decode_layer, inputs=inputs, static=static
    )


def prefill_layer(
    x: Any,
    qkv_weight: Any,
    o_weight: Any,
    input_weight: Any,
    q_norm_weight: Any,
    k_norm_weight: Any,
    post_attention_weight: Any,
    router_weight: Any,
    gate_up_weight: Any,
    down_weight: Any,
    cache_k: Any,
    cache_v: Any,
    *,
    chosen: int,
) -> Any:
    """The first L tokens: (1, L, H) -> (1, L, H); both caches get their first L slots."""
    length, head_dim = x.shape[1], q_norm_weight.shape[0]
    cos, sin = (table.astype(x.dtype) for table in rope_tables(length, head_dim))
    q, k, v = _projected(x, qkv_weight, o_weight, input_weight, q_norm_weight, k_norm_weight)
    cache_k[:, :length] = _rotated(k, cos, sin)
    cache_v[:, :length] = v
    slots = cache_k.shape[1]
    mask = np.triu(np.full((length, slots), MASKED, np.float32), k=1).astype(x.dtype)
    attended = _attended(_rotated(q, cos, sin), cache_k, cache_v, mask)
    z = x + np.matmul(attended, o_weight)
    weights = (router_weight, gate_up_weight, down_weight)
    return z + experts(rmsnorm(z, post_attention_weight), *weights, chosen=chosen)


def decode_layer(
    x: Any,
    qkv_weight: Any,
    o_weight: Any,
    input_weight: Any,
    q_norm_weight: Any,
    k_norm_weight: Any,
    post_attention_weight: Any,
    router_weight: Any,
    gate_up_weight: Any,
    down_weight: Any,
    cache_k: Any,
    cache_v: Any,
    start_pos: Any,
    cos: Any,
    sin: Any,
    causal_mask: Any,
    *,
    chosen: int,
) -> Any:
    """The token at ``start_pos``, (1,): (1, 1, H) -> (1, 1, H); both caches get that slot.

    Rotary tables are (C, D/2), the mask (C, C).
    """
    c, s = cos[start_pos], sin[start_pos]
    q, k, v = _projected(x, qkv_weight, o_weight, input_weight, q_norm_weight, k_norm_weight)
    cache_k[:, start_pos] = _rotated(k, c, s)
    cache_v[:, start_pos] = v
    attended = _attended(_rotated(q, c, s), cache_k, cache_v, causal_mask[start_pos])
    z = x + np.matmul(attended, o_weight)
    weights = (router_weight, gate_up_weight, down_weight)
    return z + experts(rmsnorm(z, post_attention_weight), *weights, chosen=chosen)


def experts(
    x: Any, router_weight: Any, gate_up_weight: Any, down_weight: Any, *, chosen: int
) -> Any:
    """(1, L, H) -> (1, L, H): every token through the experts that its router finds likeliest.

    ``router_weight`` is (H, E), ``gate_up_weight`` (E, H, 2I), ``down_weight`` (E, I, H).
    """
    tokens, hidden = x.shape[1:]
    intermediate = down_weight.shape[1]
    likely = ops.softmax(np.matmul(x[0], router_weight))
    weight, expert = ops.topk(likely, chosen)
    weight = weight / np.sum(weight, axis=-1, keepdims=True)
    rows = np.reshape(x, (tokens, 1, 1, hidden))
    mixed = np.matmul(rows, gate_up_weight[expert])
    gate, up = mixed[..., :intermediate], mixed[..., intermediate:]
    each = np.matmul(ops.silu(gate) * up, down_weight[expert])
    added = np.sum(np.reshape(weight, (tokens, chosen, 1, 1)) * each, axis=1)
    return np.reshape(added, x.shape).astype(x.dtype)


def rope_tables(length: int, head_dim: int) -> tuple[Any, Any]:
    """Cosines and sines of the first positions, (length, head_dim / 2) each."""
    frequency = 1.0 / ROPE_BASE ** (np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(length), frequency)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _projected(
    x: Any, qkv_weight: Any, o_weight: Any, weight: Any, q_weight: Any, k_weight: Any
) -> tuple[Any, Any, Any]:
    """Queries (1, L, N, D), normed, keys (1, L, 1, D), normed, and values."""
    length, head_dim = x.shape[1], q_weight.shape[0]
    width = o_weight.shape[0]
    qkv = np.matmul(rmsnorm(x, weight), qkv_weight)
    q, k, v = np.split(qkv, [width, width + head_dim], axis=-1)
    q = rmsnorm(np.reshape(q, (1, length, width // head_dim, head_dim)), q_weight)
    k = rmsnorm(np.reshape(k, (1, length, 1, head_dim)), k_weight)
    return q, k, np.reshape(v, (1, length, 1, head_dim))


def _rotated(x: Any, cos: Any, sin: Any) -> Any:
    """(1, L, N, D) rotated by (L, D/2) tables."""
    half = cos.shape[-1]
    c, s = (np.reshape(t, (1, cos.shape[0], 1, half)) for t in (cos, sin))
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * c - b * s, a * s + b * c], axis=-1)


def _attended(q: Any, cache_k: Any, cache_v: Any, mask: Any) -> Any:
    """(1, L, N, D) over all (1, C, 1, D) slots -> (1, L, N D); ``mask`` is (L, C)."""
    length, heads, head_dim = q.shape[1:]
    keys, values = (np.repeat(c, heads, axis=2) for c in (cache_k, cache_v))
    q, keys, values = (np.transpose(t, (0, 2, 1, 3)) for t in (q, keys, values))
    scores = np.matmul(q, np.transpose(keys, (0, 1, 3, 2))) / math.sqrt(head_dim)
    likely = _softmax(scores.astype(q.dtype) + mask)
    mixed = np.transpose(np.matmul(likely, values), (0, 2, 1, 3))
    return np.reshape(mixed, (1, length, heads * head_dim))


def _softmax(x: Any) -> Any:
    """Softmax over the last axis in x's dtype."""
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)
