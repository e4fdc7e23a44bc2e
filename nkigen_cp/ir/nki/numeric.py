"""How the engines read and store numbers: float32 inside, rounded once to the stored dtype.

Source: AWS Neuron SDK docs, nki/guides/nki_simulator.rst: arithmetic in float32; float to integer
rounds half to even and saturates; copies between equal dtypes keep the bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nkigen_cp.ir.dtypes import BFLOAT16, TFLOAT32, TFLOAT32_BITS, DType

# numpy's stubs leave the methods of NDArray[Any] partly unknown to a strict type checker.
Array = Any


def to_float32(values: Array) -> Array:
    """The values as float32, shape kept; float32 input is returned as it is."""
    if values.dtype == np.float32:
        return values
    if values.dtype == BFLOAT16.numpy:
        # bfloat16 is the upper half of a float32; shifting is several times faster than astype.
        bits = values.view(np.uint16).astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return values.astype(np.float32)


# OpenBLAS starts threads above this many multiply-adds; for a tile they cost far more than they
# give, most of all when other processes keep the cores busy.
_ONE_THREAD_WORK = 2**18


def _contiguous(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix)


def contract(stationary: Array, moving: Array) -> Array:
    """stationary(K, M).T @ moving(K, N) in float32, in blocks small enough for one thread."""
    left, right = _contiguous(stationary).T, _contiguous(moving)
    rows, columns = left.shape[0], right.shape[1]
    width = max(1, _ONE_THREAD_WORK // (rows * right.shape[0]))
    blocks, rest = divmod(columns, width)
    result: Array = np.empty((rows, columns), np.float32)
    whole = columns - rest

    def blocked(matrix: Array) -> Array:
        return matrix[:, :whole].reshape(-1, blocks, width).transpose(1, 0, 2)

    if blocks:
        np.matmul(left, blocked(right), out=blocked(result))
    if rest:
        result[:, whole:] = np.dot(left, right[:, whole:])
    return result


def _round_tfloat32(values: Array) -> Array:
    """Ten bits behind the point, half to even; infinities and nan stay."""
    dropped = np.finfo(np.float32).nmant - TFLOAT32_BITS
    bits: Array = values.view(np.uint32).astype(np.uint64)
    half: Array = (bits >> dropped & 1) + (1 << dropped - 1) - 1
    kept: Array = ((bits + half) >> dropped << dropped).astype(np.uint32).view(np.float32)
    finite: Array = np.isfinite(values)
    result: Array = np.array(values, np.float32)
    result[finite] = kept[finite]
    return result


def cast(values: Array, dtype: DType) -> Array:
    """The values as an engine stores them in ``dtype``, shape kept.

    Equal dtypes keep their bits; everything else goes through float32, except int64 values, which
    no memory holds: they are immediates and convert exactly.
    """
    if dtype == TFLOAT32:
        return _round_tfloat32(to_float32(values))
    if values.dtype == dtype.numpy:
        return values
    if dtype.is_float:
        with np.errstate(over="ignore", invalid="ignore"):
            return to_float32(values).astype(dtype.numpy)
    if dtype.kind == "bool":
        return values != 0
    limits = np.iinfo(dtype.name)
    if values.dtype == np.int64:
        return values.clip(limits.min, limits.max).astype(dtype.numpy)
    rounded: Array = np.rint(np.nan_to_num(to_float32(values).astype(np.float64), nan=0.0))
    return rounded.clip(limits.min, limits.max).astype(dtype.numpy)
