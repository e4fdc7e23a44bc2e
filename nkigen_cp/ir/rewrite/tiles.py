"""Numbers that an instruction takes as tiles only become constants of one element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.tensor.graph import Immediate, Input, Op, Operand, Tensor


def _always(draft: Draft, op: Op) -> DType | None:
    return draft.dtype(op.outputs[0].tensor)


def _float32(draft: Draft, op: Op) -> DType | None:
    del draft, op
    return FLOAT32


def _of_words(draft: Draft, op: Op) -> DType | None:
    """No instruction that keeps all bits chooses between words and a number."""
    result = draft.dtype(op.outputs[0].tensor)
    return result if result.size_bytes == FLOAT32.size_bytes and not result.is_float else None


_TILES: Mapping[str, Callable[[Draft, Op], DType | None]] = {
    "integer_add": _always,
    "integer_multiply": _always,
    "power": _float32,
    "select": _of_words,
}
"""Op kind -> the type in which its numbers become constants, if they do."""


def numbers_to_tiles(draft: Draft) -> None:
    """Replace the Immediates of such ops by constants, equal ones by the same."""
    made: dict[tuple[str, str], str] = {}
    for op in draft:
        dtype = _TILES[op.kind](draft, op) if op.kind in _TILES else None
        if dtype is not None and any(isinstance(i, Immediate) for i in op.inputs):
            inputs = tuple(_as_tile(draft, i, dtype, made) for i in op.inputs)
            draft.replace(replace(op, inputs=inputs))


def _as_tile(draft: Draft, value: Input, dtype: DType, made: dict[tuple[str, str], str]) -> Input:
    if isinstance(value, Operand):
        return value
    key = (repr(value.value), dtype.name)
    if key not in made:
        made[key] = draft.new_tensor("number", Tensor(name="", shape=(), dtype=dtype, axes=()))
        draft.constants[made[key]] = np.asarray(value.value).astype(dtype.numpy)
    return Operand(tensor=made[key], index=())
