"""``cp.ops``: functions numpy lacks. They take traced tensors and plain numpy arrays alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkigen_cp.frontend import creation, gathering, ordering
from nkigen_cp.frontend.convolution import Sizes, convolve
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.table import OPS


def _apply(kind: str, x: Any) -> Any:
    if isinstance(x, TracedTensor):
        return elementwise(kind, x)
    array = np.asarray(x)
    result = OPS[kind].meaning(array if array.dtype == np.float64 else array.astype(np.float32))
    is_integer = array.dtype.kind in "biu"
    return np.asarray(result, dtype=np.float32 if is_integer else array.dtype)


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return elementwise("relu", x) if isinstance(x, TracedTensor) else np.maximum(x, 0)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return _apply("sigmoid", x)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return _apply("silu", x)


def gelu(x: Any, *, approximate: bool = False) -> Any:
    """``x * Phi(x)``, exact by erf, or by the tanh approximation."""
    return _apply("gelu_tanh" if approximate else "gelu", x)


def erf(x: Any) -> Any:
    """The error function."""
    return _apply("erf", x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return _apply("softplus", x)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    return _apply("mish", x)


def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return _apply("rsqrt", x)


def constant(value: Any, dtype: Any = None) -> Any:
    """An array that is known while tracing, and which traced tensors may index."""
    return creation.constant(np.asarray(value, dtype))


def gather_rows(x: Any, index: Any, axis: int = 0) -> Any:
    """The positions of one axis that ``index`` names, as ``numpy.take``; each may be traced."""
    if any(isinstance(v, TracedTensor) for v in (x, index)):
        return gathering.rows(x, index, axis)
    return np.take(x, index, axis)


def scatter_rows(x: Any, index: Any, values: Any, axis: int = 0) -> Any:
    """A copy of ``x`` with ``values`` at the positions of one axis that ``index`` names.

    Where the index names a position several times, the last value counts.
    """
    if any(isinstance(v, TracedTensor) for v in (x, index, values)):
        return gathering.with_rows(x, index, values, axis)
    result = np.array(x)
    result[(*(slice(None),) * (axis % result.ndim), np.asarray(index))] = values
    return result


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x - max) / sum(exp(x - max))`` along ``axis``, in float32, cast back to x's dtype."""
    x32 = x.astype(np.float32)
    exps = np.exp(x32 - np.max(x32, axis=axis, keepdims=True))
    return (exps / np.sum(exps, axis=axis, keepdims=True)).astype(x.dtype)


def topk(x: Any, k: int, axis: int = -1, is_ascend: bool = False) -> tuple[Any, Any]:
    """The ``k`` largest elements along ``axis`` in order, or smallest; and their places, uint32.

    Of equal elements the first comes first. Integers are compared as float32, which holds those up
    to 2**24 exactly.
    """
    if isinstance(x, TracedTensor):
        return ordering.topk(x, k, axis, is_ascend=is_ascend)
    array = np.asarray(x)
    keys = array.astype(np.float64)
    places = np.argsort(keys if is_ascend else -keys, axis=axis, kind="stable")
    first = np.take(places, np.arange(k), axis=axis)
    return np.take_along_axis(array, first, axis=axis), first.astype(np.uint32)


def rms_norm(x: Any, weight: Any, *, eps: float = 1e-6) -> Any:
    """``x / sqrt(mean(x * x) + eps) * weight`` over the last dim, in float32, in x's dtype."""
    x32 = x.astype(np.float32)
    scale = np.sqrt(np.mean(np.square(x32), axis=-1, keepdims=True) + eps)
    return (x32 / scale * weight.astype(np.float32)).astype(x.dtype)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """``x - max - log(sum(exp(x - max)))`` along ``axis``, in float32, cast back to x's dtype."""
    x32 = x.astype(np.float32)
    shifted = x32 - np.max(x32, axis=axis, keepdims=True)
    return (shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))).astype(x.dtype)


def layer_norm(x: Any, weight: Any, bias: Any = None, *, eps: float = 1e-5) -> Any:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last dim.

    In float32, cast back to x's dtype; without ``bias`` nothing is added.
    """
    x32 = x.astype(np.float32)
    centred = x32 - np.mean(x32, axis=-1, keepdims=True)
    scale = np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True) + eps)
    normed = centred / scale * weight.astype(np.float32)
    return (normed if bias is None else normed + bias.astype(np.float32)).astype(x.dtype)


def _convolution(rank: int) -> Any:
    def conv(  # noqa: PLR0913 - the arguments that convolutions have everywhere
        x: Any,
        weight: Any,
        bias: Any = None,
        *,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Any:
        return convolve(
            x,
            weight,
            bias,
            rank,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )

    conv.__name__ = conv.__qualname__ = f"conv{rank}d"
    conv.__doc__ = convolve.__doc__
    return conv


conv1d, conv2d, conv3d = map(_convolution, (1, 2, 3))
