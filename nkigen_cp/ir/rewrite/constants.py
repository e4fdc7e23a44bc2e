"""What is known at compile time: uniform constants, equal constants and casts of constants."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import is_identity
from nkigen_cp.ir.tensor.graph import Array, Immediate, Input, Op, Operand
from nkigen_cp.ir.tensor.table import OPS, Family

_TAKES_NUMBERS = (Family.ELEMENTWISE, Family.COMPOSITE)
_SAMPLES = 61


def fold_uniform_constants(draft: Draft) -> None:
    """Let elementwise ops take a constant whose elements are all the same as an Immediate."""
    numbers = {n: v for n, a in draft.constants.items() if (v := _uniform(a)) is not None}
    for op in draft:
        row = OPS[op.kind]
        if row.family not in _TAKES_NUMBERS or row.arity < 2:
            continue
        inputs = tuple(_as_number(i, numbers) for i in op.inputs)
        if inputs != op.inputs and any(isinstance(i, Operand) for i in inputs):
            draft.replace(replace(op, inputs=inputs))


def _as_number(value: Input, numbers: dict[str, Immediate]) -> Input:
    return value if isinstance(value, Immediate) else numbers.get(value.tensor, value)


def _sample(array: Array) -> Array:
    """A few elements that tell most large arrays apart without reading them whole."""
    return array.ravel()[:: max(1, array.size // _SAMPLES)]


def _uniform(array: Array) -> Immediate | None:
    """The one value of an array as a number, or None."""
    if not array.size or array.dtype == np.bool_:
        return None
    first = cast(Any, array).flat[0]
    if not np.all(_sample(array) == first) or not np.all(array == first):
        return None
    number = int(first) if np.issubdtype(array.dtype, np.integer) else float(first)
    return Immediate(value=number) if math.isfinite(number) else None


def numbers_last(draft: Draft) -> None:
    """Put the Immediate of a commutative op last, where every reader may expect it."""
    for op in draft:
        if OPS[op.kind].commutative and isinstance(op.inputs[0], Immediate):
            draft.replace(replace(op, inputs=op.inputs[::-1]))


def share_constants(draft: Draft) -> None:
    """Let equal constants be one: the first of them."""
    alike: dict[Hashable, list[str]] = {}
    for name, array in draft.constants.items():
        if name in draft.protected or not draft.readers(name):
            continue
        key = (array.shape, draft.dtype(name).name, _sample(array).tobytes())
        candidates = alike.setdefault(key, [])
        kept = next((c for c in candidates if np.array_equal(draft.constants[c], array)), None)
        if kept is None:
            candidates.append(name)
        else:
            draft.rename(name, kept)


def fold_constant_casts(draft: Draft) -> None:
    """Cast constants at compile time; the constant takes the name of the cast's result."""
    for op in draft:
        if _casts_constant(op, draft):
            result = op.outputs[0].tensor
            array = draft.constants[op.operands[0].tensor]
            draft.constants[result] = array.astype(draft.dtype(result).numpy)
            draft.remove(op.name)


def _casts_constant(op: Op, draft: Draft) -> bool:
    return (
        draft.family(op) is Family.COPY
        and op.operands[0].tensor in draft.constants
        and op.outputs[0].tensor not in draft.protected
        and is_identity(op, draft.tensors)
    )
