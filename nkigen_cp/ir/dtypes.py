"""Element types: one row per dtype, with the names numpy and NKI use for it."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from nkigen_cp.errors import UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class DType:
    """One element type; ``name`` is numpy's (or ml_dtypes') and the one plans and files carry."""

    name: str
    size_bytes: int
    kind: str  # "float", "int", "uint", "bool"
    numpy: np.dtype[np.generic]
    nki: str  # attribute of nki.language

    def __str__(self) -> str:
        return self.name

    @property
    def is_float(self) -> bool:
        return self.kind == "float"


def _row(name: str, kind: str, scalar: DTypeLike, nki: str | None = None) -> DType:
    dtype = np.dtype(scalar)
    return DType(name=name, size_bytes=dtype.itemsize, kind=kind, numpy=dtype, nki=nki or name)


FLOAT32 = _row("float32", "float", np.float32)
TFLOAT32 = DType(
    name="tfloat32", size_bytes=4, kind="float", numpy=np.dtype(np.float32), nki="tfloat32"
)
"""A float32 of which the Tensor Engine reads ten bits behind the point; numpy lacks the type."""
TFLOAT32_BITS = 10
BFLOAT16 = _row("bfloat16", "float", ml_dtypes.bfloat16)
FLOAT16 = _row("float16", "float", np.float16)
FLOAT8_E4M3 = _row("float8_e4m3", "float", ml_dtypes.float8_e4m3)
FLOAT8_E5M2 = _row("float8_e5m2", "float", ml_dtypes.float8_e5m2)
INT32 = _row("int32", "int", np.int32)
INT16 = _row("int16", "int", np.int16)
INT8 = _row("int8", "int", np.int8)
UINT32 = _row("uint32", "uint", np.uint32)
UINT16 = _row("uint16", "uint", np.uint16)
UINT8 = _row("uint8", "uint", np.uint8)
BOOL = _row("bool", "bool", np.bool_, nki="uint8")

DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        FLOAT32,
        TFLOAT32,
        BFLOAT16,
        FLOAT16,
        FLOAT8_E4M3,
        FLOAT8_E5M2,
        INT32,
        INT16,
        INT8,
        UINT32,
        UINT16,
        UINT8,
        BOOL,
    )
}
ALIASES = {
    "f32": "float32",
    "tf32": "tfloat32",
    "bf16": "bfloat16",
    "f16": "float16",
    "i32": "int32",
    "u32": "uint32",
}


def dtype(value: DType | DTypeLike) -> DType:
    """The row for a name, an alias (``bf16``), a numpy dtype or a DType.

    Raises:
        UnsupportedError: the dtype has no row; the message lists those that have one.
    """
    if isinstance(value, DType):
        return value
    name = ALIASES.get(value, value) if isinstance(value, str) else None
    if name is None or name not in DTYPES:
        try:
            name = str(np.dtype(value).name)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        except TypeError:
            name = str(value)
    if name not in DTYPES:
        raise UnsupportedError(f"dtype {name!r} is not supported; supported: {', '.join(DTYPES)}")
    return DTYPES[name]
