"""Single ops and data movement as plain numpy functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkigen_cp.frontend import ops
from nkigen_cp.workloads.qwen3 import MASKED


def matmul(a: Any, b: Any) -> Any:
    """(M, K) @ (K, N) -> (M, N)."""
    return np.matmul(a, b)


def project(x: Any, w: Any) -> Any:
    """(..., K) activations @ (K, N) weights -> (..., N)."""
    return np.matmul(x, w)


def add(x: Any, y: Any) -> Any:
    """Elementwise sum with numpy broadcasting."""
    return x + y


def sum_axis0(x: Any) -> Any:
    """(M, N) -> (N,)."""
    return np.sum(x, axis=0)


def argmax_last(x: Any) -> Any:
    """(M, N) -> (M,): where the first of the largest elements of every row is."""
    return np.argmax(x, axis=-1)


def topk(x: Any, k: int, axis: int) -> Any:
    """The ``k`` largest elements along an axis in descending order, and where they are."""
    return ops.topk(x, k, axis)


def transpose(x: Any, axes: tuple[int, ...]) -> Any:
    """Dims of x in the order of ``axes``."""
    return np.transpose(x, axes)


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """Row-major reinterpretation as ``shape``."""
    return np.reshape(x, shape)


def slice_last(x: Any, stop: int) -> Any:
    """(A, B, C) -> (A, B, stop): the first ``stop`` of the last axis."""
    return x[:, :, :stop]


def embedding(table: Any, ids: Any) -> Any:
    """The rows of an (N, D) table that ids names -> (number of ids, D)."""
    return table[np.reshape(ids, (-1,))]


def sdpa(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    """(1, N, S, D) each -> (1, N, S, D): attention; ``mask`` is an additive (S, S)."""
    scores = np.matmul(q, np.transpose(k, (0, 1, 3, 2))) / math.sqrt(q.shape[3])
    if mask is not None:
        scores = scores + mask
    exps = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.matmul(exps / np.sum(exps, axis=-1, keepdims=True), v)


def sdpa_causal(q: Any, k: Any, v: Any) -> Any:
    """(1, N, S, D) each -> (1, N, S, D): attention in which no query sees a later key."""
    seq = q.shape[2]
    return sdpa(q, k, v, np.triu(np.full((seq, seq), MASKED, q.dtype), k=1))
