"""One token of attention with a key/value cache that is updated in place.

The position is a traced value: the same kernel serves every token.
Run it: ``python examples/kv_cache_decode.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from show import show


def decode(q: Any, key: Any, value: Any, cache_k: Any, cache_v: Any, place: Any) -> Any:
    """(heads, D) of one token -> (heads, D); its key and value go into the caches at ``place``.

    ``key`` and ``value`` are (1, D), the caches (slots, D), place (1,).
    """
    cache_k[place] = key
    cache_v[place] = value
    scores = q @ cache_k.T / math.sqrt(q.shape[-1])
    scores = np.where(np.arange(len(cache_k)) <= place, scores, -1e4)
    exps = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True) @ cache_v


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    heads, slots, head_dim = 8, 512, 128
    shapes = ((heads, head_dim), *[(1, head_dim)] * 2, *[(slots, head_dim)] * 2)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    show(decode, *arrays, np.array([100], np.int32))
