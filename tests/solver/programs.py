"""Tiny programs that between them need every kind of step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.tensor.graph import Graph

Shape = tuple[int, ...]
FAST: dict[str, Any] = {"effort": "fast"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiny:
    """A function and the shapes of its float32 arguments."""

    function: Callable[..., Any]
    shapes: tuple[Shape, ...]
    dtype: str = "float32"

    def graph(self) -> Graph:
        return cp.trace(self.function, *(cp.spec(s, self.dtype) for s in self.shapes))

    def plan(self, target: cp.Target = cp.TRN2, **options: Any) -> cp.Plan:
        return cp.solve(self.graph(), target, **(FAST | options))


def _softmax(x: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


def _chain(x: Any, y: Any) -> Any:
    return np.tanh(x * 2 + 1) * y


def _centred(x: Any) -> Any:
    return x - np.max(x, axis=-1, keepdims=True)


def _columns(x: Any) -> Any:
    return np.sum(np.square(x), axis=0)


def _bias(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def _scored(x: Any, w: Any) -> Any:
    scores = (x @ w) * 0.5
    return scores - np.max(scores, axis=-1, keepdims=True)


def _peaked(x: Any, w: Any) -> Any:
    scores = x @ w
    return scores - np.max(scores, axis=-1, keepdims=True)


def _ridge(x: Any, w: Any) -> Any:
    return np.max(x @ w, axis=-1)


def _floored(x: Any, s: Any) -> Any:
    scaled = x * s
    return scaled - np.min(scaled, axis=-1, keepdims=True)


def _twice_folded(x: Any) -> Any:
    exps = np.exp(x)
    return np.sum(exps, axis=0), np.sum(exps, axis=1)


def _transposed(x: Any) -> Any:
    return np.transpose(x + 1)


def _gram(x: Any) -> Any:
    return x @ x.T


def _summed(x: Any, y: Any, w: Any) -> Any:
    return (x + y) @ w


def _scaled_rows(x: Any, s: Any) -> Any:
    return x * s + 3


def _narrow(x: Any, y: Any) -> Any:
    return np.exp(x) * y


def _causal(x: Any) -> Any:
    return x + np.triu(np.full(x.shape, -10000.0, np.float32), k=1)


def _spread(x: Any, w: Any, b: Any) -> Any:
    return np.tanh(x @ w + b)


def _product(x: Any, w: Any) -> Any:
    return x @ w


def _twice(x: Any, w: Any) -> Any:
    y = np.tanh(x)
    return np.tanh(y @ w) @ w.T


def _reinterpreted(x: Any) -> Any:
    return np.reshape(np.exp(x), (75, 128)) * 2


def _turned_inside(x: Any) -> Any:
    return np.transpose(x, (0, 3, 1, 2))


def _rotated(x: Any, c: Any) -> Any:
    return np.concatenate([x[:, :32] * c, x[:, 32:] - c], axis=1)


def _slid(x: Any, w: Any) -> Any:
    return cp.ops.conv1d(x, w)


def _gathered(x: Any, s: Any) -> Any:
    return x[(s > 0).astype(np.int32)]


def _along(x: Any, s: Any) -> Any:
    return np.take_along_axis(x, (s > 0).astype(np.int32), axis=1)


def _scattered(x: Any, s: Any, v: Any) -> Any:
    return cp.ops.scatter_rows(x, (s > 0).astype(np.int32), v * 2)


def _exchanged(x: Any) -> Any:
    return cp.collectives.all_reduce(np.exp(x), [[0, 1]]) * 2


TINY: dict[str, Tiny] = {
    "chain": Tiny(function=_chain, shapes=((64, 32), (64, 32))),
    "centred": Tiny(function=_centred, shapes=((64, 32),)),
    "columns": Tiny(function=_columns, shapes=((48, 64),)),
    "bias": Tiny(function=_bias, shapes=((32, 64), (64, 48), (48,))),
    "scored": Tiny(function=_scored, shapes=((32, 64), (64, 400))),
    "peaked": Tiny(function=_peaked, shapes=((32, 64), (64, 400))),
    "ridge": Tiny(function=_ridge, shapes=((32, 64), (64, 400))),
    "floored": Tiny(function=_floored, shapes=((128, 400), (128, 1))),
    "transposed": Tiny(function=_transposed, shapes=((64, 32),)),
    "softmax": Tiny(function=_softmax, shapes=((64, 32),)),
    "gram": Tiny(function=_gram, shapes=((64, 32),)),
    "summed": Tiny(function=_summed, shapes=((32, 64), (32, 64), (64, 16))),
    "scaled rows": Tiny(function=_scaled_rows, shapes=((64, 32), (64, 1))),
    "narrow": Tiny(function=_narrow, shapes=((64, 256), (64, 256)), dtype="bfloat16"),
}
"""Up to seven ops, all sizes within one block: small enough for every plan to be enumerated."""


def _cached(cache: Any, rows: Any) -> Any:
    before = np.sum(cache, axis=0)
    cache[5:8] = rows * 2
    return before, np.sum(cache, axis=0)


LARGER: dict[str, Tiny] = {
    "peeled": Tiny(function=_softmax, shapes=((2, 200, 48),)),
    "causal": Tiny(function=_causal, shapes=((130, 130),)),
    "spread": Tiny(function=_spread, shapes=((200, 300), (300, 700), (700,))),
    "streamed": Tiny(function=_product, shapes=((128, 256), (256, 8192))),
    "twice folded": Tiny(function=_twice_folded, shapes=((256, 128),)),
    "twice": Tiny(function=_twice, shapes=((64, 128), (128, 128))),
    "reinterpreted": Tiny(function=_reinterpreted, shapes=((96, 100),)),
    "slid": Tiny(function=_slid, shapes=((1, 16, 40), (8, 16, 3))),
    "cached": Tiny(function=_cached, shapes=((64, 32), (3, 32))),
    "gathered": Tiny(function=_gathered, shapes=((6, 300), (200,))),
    "scattered": Tiny(function=_scattered, shapes=((6, 300), (3,), (3, 300))),
    "exchanged": Tiny(function=_exchanged, shapes=((64, 48),)),
    "along": Tiny(function=_along, shapes=((64, 16), (64, 9))),
    "turned inside": Tiny(function=_turned_inside, shapes=((400, 3, 20, 16),)),
    "rotated": Tiny(function=_rotated, shapes=((64, 64), (64, 32))),
}
"""Remainders, chunks, windows, streams, on-chip constants, moves through HBM."""
