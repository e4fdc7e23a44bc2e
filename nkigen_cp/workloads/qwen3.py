"""The parts of a Qwen3 decoder layer, and the layer, as plain numpy functions.

They run on numpy arrays and on traced tensors alike, and read every size from their arguments.
Shapes below use S tokens, H hidden, I intermediate, N query heads, K key/value heads, D per head.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

EPS = 1e-6
MASKED = -10000.0


def swiglu_act(g: Any, u: Any) -> Any:
    """(1, S, I) gate and up -> (1, S, I): ``silu(g) * u``."""
    return _silu(g) * u


def rmsnorm(x: Any, weight: Any) -> Any:
    """(..., H) and (H,) -> (..., H) in x's dtype, computed in float32."""
    wide = x.astype(np.float32)
    scale = np.sqrt(np.mean(np.square(wide), axis=-1, keepdims=True) + EPS)
    return (wide / scale * weight.astype(np.float32)).astype(x.dtype)


def layernorm(x: Any, weight: Any, bias: Any) -> Any:
    """(..., H), (H,), (H,) -> (..., H) in float32."""
    wide = x.astype(np.float32)
    centred = wide - np.mean(wide, axis=-1, keepdims=True)
    variance = np.mean(np.square(centred), axis=-1, keepdims=True)
    return centred / np.sqrt(variance + EPS) * weight + bias


def softmax(x: Any) -> Any:
    """Softmax over the last axis, in float32, cast back to x's dtype."""
    wide = x.astype(np.float32)
    exps = np.exp(wide - np.max(wide, axis=-1, keepdims=True))
    return (exps / np.sum(exps, axis=-1, keepdims=True)).astype(x.dtype)


def feedforward(
    x: Any, gate_up_weight: Any, down_weight: Any, gate_up_bias: Any, down_bias: Any
) -> Any:
    """(1, S, H), (H, 2I), (I, H), (2I,), (H,) -> (1, S, H): ``down(silu(gate) * up)``."""
    intermediate = down_weight.shape[0]
    mixed = np.matmul(x, gate_up_weight) + gate_up_bias
    gate, up = mixed[..., :intermediate], mixed[..., intermediate:]
    return np.matmul(_silu(gate) * up, down_weight) + down_bias


def rope(xq: Any, xk: Any, cos: Any, sin: Any) -> Any:
    """(1, S, N, D), (1, S, K, D) and (S, D/2) tables -> both rotated by their position."""
    rows, half = cos.shape
    c = np.reshape(cos, (1, rows, 1, half))
    s = np.reshape(sin, (1, rows, 1, half))
    return _rotate(xq, c, s), _rotate(xk, c, s)


def attention_block(
    hidden: Any,
    input_layernorm_weight: Any,
    qkv_weight: Any,
    o_weight: Any,
    q_norm_weight: Any,
    k_norm_weight: Any,
    cos: Any,
    sin: Any,
) -> Any:
    """Causal grouped-query attention with the residual: (1, S, H) -> (1, S, H) in hidden's dtype.

    ``qkv_weight`` is (H, (N + 2K) D), ``o_weight`` (N D, H), the head norms (D,), tables (S, D/2).
    """
    seq, head_dim = hidden.shape[1], q_norm_weight.shape[0]
    width = o_weight.shape[0]
    kv_width = (qkv_weight.shape[1] - width) // 2
    heads, kv_heads = width // head_dim, kv_width // head_dim

    qkv = np.matmul(rmsnorm(hidden, input_layernorm_weight), qkv_weight)
    q, k, v = np.split(qkv, [width, width + kv_width], axis=-1)
    q = rmsnorm(np.reshape(q, (1, seq, heads, head_dim)), q_norm_weight)
    k = rmsnorm(np.reshape(k, (1, seq, kv_heads, head_dim)), k_norm_weight)
    v = np.reshape(v, (1, seq, kv_heads, head_dim))
    q, k = rope(q, k, cos, sin)

    k = np.repeat(k, heads // kv_heads, axis=2)
    v = np.repeat(v, heads // kv_heads, axis=2)
    q, k, v = (_heads_first(t) for t in (q, k, v))
    merged = np.reshape(_heads_first(_attend(q, k, v, hidden.dtype)), (1, seq, width))
    return (np.matmul(merged, o_weight) + hidden).astype(hidden.dtype)


def qwen3emb_layer(
    hidden: Any,
    input_layernorm_weight: Any,
    qkv_weight: Any,
    o_weight: Any,
    q_norm_weight: Any,
    k_norm_weight: Any,
    cos: Any,
    sin: Any,
    post_attention_layernorm_weight: Any,
    gate_up_weight: Any,
    down_weight: Any,
    gate_up_bias: Any,
    down_bias: Any,
) -> Any:
    """One decoder layer: attention, then the feed-forward network; (1, S, H) -> (1, S, H)."""
    residual = attention_block(
        hidden,
        input_layernorm_weight,
        qkv_weight,
        o_weight,
        q_norm_weight,
        k_norm_weight,
        cos,
        sin,
    )
    normed = rmsnorm(residual, post_attention_layernorm_weight)
    forward = feedforward(normed, gate_up_weight, down_weight, gate_up_bias, down_bias)
    return (forward + residual).astype(hidden.dtype)


def _silu(x: Any) -> Any:
    return x * (1 / (1 + np.exp(-x)))


def _rotate(x: Any, cos: Any, sin: Any) -> Any:
    half = cos.shape[-1]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _heads_first(x: Any) -> Any:
    """(1, S, N, D) <-> (1, N, S, D)."""
    return np.transpose(x, (0, 2, 1, 3))


def _attend(q: Any, k: Any, v: Any, dtype: Any) -> Any:
    """Causal attention, (1, N, S, D) each -> (1, N, S, D); the mask is a compile-time constant."""
    seq, head_dim = q.shape[2], q.shape[3]
    mask = np.triu(np.full((seq, seq), MASKED, np.float32), k=1).astype(dtype)
    scores = np.matmul(q, np.transpose(k, (0, 1, 3, 2))) / math.sqrt(head_dim)
    scores = scores.astype(dtype) + mask
    return np.matmul(softmax(scores), v).astype(dtype)
