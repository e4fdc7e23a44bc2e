"""What a workload is: a numpy function, the inputs it takes and how to draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROPE_BASE = 1e6
PROJECTION_SCALE = 0.02
VOCABULARY = 151669
"""Rows of the embedding table of Qwen3."""
POSITIONS = 4096
"""Slots of a key/value cache that a token is decoded into."""


class Input(NamedTuple):
    """One array argument; ``dtype`` is ``"float32"``, ``"bfloat16"`` or ``"int32"``."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A numpy function with the shapes it is compiled for.

    It is called as ``function(*arrays, **static)``, arrays in the order of ``inputs``.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    static: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def make_inputs(self, seed: int = 0) -> list[Array]:
        """Arrays for ``inputs``; the same seed gives the same arrays.

        Activations and norm weights are standard normal, projection weights and biases 0.02 of
        that, ``cos`` and ``sin`` the rotary tables of consecutive positions, ``ids`` tokens,
        ``start_pos`` a position.
        """
        rng = np.random.default_rng(seed)
        return [_draw(rng, declared) for declared in self.inputs]


def _draw(rng: np.random.Generator, declared: Input) -> Array:
    values = cast("Any", _DATA.get(declared.name, _normal)(rng, declared.shape))
    return values.astype(_NUMPY[declared.dtype])


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, np.float32)


def _projection(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.multiply(_normal(rng, shape), PROJECTION_SCALE, dtype=np.float32)


def _angles(shape: tuple[int, ...]) -> Array:
    positions, half = shape
    return np.outer(np.arange(positions), 1.0 / ROPE_BASE ** (np.arange(half) / half))


def _cos(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    del rng
    return np.cos(_angles(shape)).astype(np.float32)


def _sin(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    del rng
    return np.sin(_angles(shape)).astype(np.float32)


def _position(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, POSITIONS, shape)


def _causal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    del rng
    return np.triu(np.full(shape, -100000.0, np.float32), k=1)


def _ids(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, VOCABULARY, shape)


_NUMPY: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int32": np.dtype(np.int32),
}

_DATA: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "ids": _ids,
    "start_pos": _position,
    "causal_mask": _causal,
    "cos": _cos,
    "sin": _sin,
    "w": _projection,
    "qkv_weight": _projection,
    "o_weight": _projection,
    "gate_up_weight": _projection,
    "gate_up_bias": _projection,
    "down_weight": _projection,
    "down_bias": _projection,
    "router_weight": _projection,
}
