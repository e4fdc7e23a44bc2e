"""Functions of the Scalar engine's activation instruction: float32 meaning and valid input range.

Source of names and ranges: AWS Neuron SDK docs, nki/api/nki.api.shared.rst, table of activation
functions. ``prelu`` has no row: its slope cannot be set before gen4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nkigen_cp.ir.nki.numeric import Array

Function = Callable[[Array], Array]

_SQRT_2 = math.sqrt(2.0)
_SQRT_2_PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One function; outside ``low <= x <= high`` the hardware's result is undefined.

    A range given for ``|x|`` (reciprocal) has ``magnitude`` set.
    """

    name: str
    meaning: Function
    low: float = -math.inf
    high: float = math.inf
    magnitude: bool = False

    @property
    def restricted(self) -> bool:
        return self.low > -math.inf or self.high < math.inf


def _erf(x: Array) -> Array:
    flat = map(math.erf, x.ravel().tolist())
    values: Array = np.fromiter(flat, np.float64, count=x.size)
    return values.reshape(x.shape)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _silu_dx(x: Array) -> Array:
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x / _SQRT_2))


def _gelu_dx(x: Array) -> Array:
    return 0.5 * (1 + _erf(x / _SQRT_2)) + x * np.exp(-x * x / 2) / _SQRT_2_PI


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _gelu_sigmoid(x: Array) -> Array:
    return x * _sigmoid(1.702 * x)


def _gelu_sigmoid_dx(x: Array) -> Array:
    s = _sigmoid(1.702 * x)
    return s * (1 + 1.702 * x * (1 - s))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _mish(x: Array) -> Array:
    return x * np.tanh(_softplus(x))


def _erf_dx(x: Array) -> Array:
    return 2 / math.sqrt(math.pi) * np.exp(-x * x)


ACTIVATION_ROWS: tuple[Activation, ...] = (
    Activation(name="copy", meaning=lambda x: x),
    Activation(name="square", meaning=lambda x: x * x),
    Activation(name="sigmoid", meaning=_sigmoid),
    Activation(name="relu", meaning=lambda x: np.maximum(x, 0)),
    Activation(name="gelu", meaning=_gelu),
    Activation(name="gelu_dx", meaning=_gelu_dx),
    Activation(name="gelu_apprx_tanh", meaning=_gelu_tanh),
    Activation(name="gelu_apprx_sigmoid", meaning=_gelu_sigmoid),
    Activation(name="gelu_apprx_sigmoid_dx", meaning=_gelu_sigmoid_dx),
    Activation(name="silu", meaning=lambda x: x * _sigmoid(x)),
    Activation(name="silu_dx", meaning=_silu_dx),
    Activation(name="tanh", meaning=np.tanh),
    Activation(name="softplus", meaning=_softplus),
    Activation(name="mish", meaning=_mish),
    Activation(name="erf", meaning=_erf),
    Activation(name="erf_dx", meaning=_erf_dx),
    Activation(name="exp", meaning=np.exp),
    Activation(name="sign", meaning=np.sign),
    Activation(name="abs", meaning=np.abs),
    Activation(name="log", meaning=np.log, low=2.0**-64, high=2.0**64),
    Activation(name="sin", meaning=np.sin, low=-math.pi, high=math.pi),
    Activation(name="arctan", meaning=np.arctan, low=-math.pi / 2, high=math.pi / 2),
    Activation(name="sqrt", meaning=np.sqrt, low=2.0**-116, high=2.0**118),
    Activation(name="rsqrt", meaning=lambda x: 1 / np.sqrt(x), low=2.0**-87, high=2.0**97),
    Activation(
        name="reciprocal", meaning=lambda x: 1 / x, low=2.0**-42, high=2.0**42, magnitude=True
    ),
)

ACTIVATIONS: dict[str, Activation] = {row.name: row for row in ACTIVATION_ROWS}


def apply(name: str, x: Array) -> Array:
    """The function over float32 ``x``, as float32, shape kept."""
    return ACTIVATIONS[name].meaning(x).astype(np.float32, copy=False)


def outside_range(name: str, x: Array) -> int:
    """How many elements of ``x`` lie outside the function's valid input range."""
    row = ACTIVATIONS[name]
    tested = np.abs(x) if row.magnitude else x
    # Compared in float32, where pi itself rounds up: sin(float32(pi)) is inside.
    inside = (tested >= np.float32(row.low)) & (tested <= np.float32(row.high))
    return int(inside.size - np.count_nonzero(inside))
