"""Dtype rules: what an op of the table returns for given operand dtypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import DTypeLike

from nkigen_cp.ir.dtypes import BOOL, FLOAT32, INT32, UINT32, DType, dtype
from nkigen_cp.ir.tensor.graph import Attr
from nkigen_cp.ir.tensor.table import OpRow, Result

# The hardware has no 64-bit types; numpy's defaults are 64 bits wide.
NARROWED: dict[str, str] = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


def narrow(value: DType | DTypeLike) -> tuple[DType, bool]:
    """The dtype's row, 64-bit types replaced by their 32-bit ones, and whether it was replaced.

    Raises:
        UnsupportedError: the dtype has no row.
    """
    if isinstance(value, DType):
        return value, False
    try:
        name = cast("str", np.dtype(value).name)  # pyright: ignore[reportUnknownMemberType]
    except TypeError:  # an alias of ours, or unknown
        return dtype(str(value)), False
    return dtype(NARROWED.get(name, name)), name in NARROWED


def promote(first: DType, *others: DType) -> DType:
    """Numpy's promotion narrowed to 32 bits; two floats numpy does not combine become float32.

    >>> from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT16
    >>> promote(BFLOAT16, FLOAT16).name
    'float32'
    """
    result = first
    for other in others:
        try:
            result = narrow(np.promote_types(result.numpy, other.numpy))[0]
        except TypeError:  # numpy.exceptions.DTypePromotionError: bfloat16 with float16, int32, ...
            result = FLOAT32
    return result


_FIXED: Mapping[Result, DType] = {Result.BOOL: BOOL, Result.INDEX: UINT32}


def result_dtype(
    row: OpRow,
    dtypes: Sequence[DType],
    scalars: Sequence[float | int] = (),
    attrs: Mapping[str, Attr] | None = None,
) -> DType:
    """The dtype of the row's result.

    Args:
        row: the op's row.
        dtypes: dtypes of the tensor operands, at least one.
        scalars: the immediate operands; they are weak: a float lifts integers to float32, an
            integer lifts only bool.
        attrs: the op's attributes; ``dtype`` decides where the row says so.
    """
    if row.result is Result.GIVEN:
        return dtype(str((attrs or {})["dtype"]))
    if row.result in _FIXED:
        return _FIXED[row.result]
    if row.result is Result.FIRST:
        return dtypes[0]
    if row.result is Result.CHOSEN:
        dtypes = dtypes[1:] or [INT32]  # two numbers: integers unless one of them is a float
    result = promote(*dtypes)
    if result.is_float:
        return result
    if row.result is Result.FLOAT or any(isinstance(s, float) for s in scalars):
        return FLOAT32
    return INT32 if result is BOOL and scalars else result
