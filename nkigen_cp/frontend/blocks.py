"""Long rows in blocks, so that the partitions work on them side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.rowwise import EXACT, call
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array

LONGEST = 16384
"""Elements of a row that max8 and its kin take."""

ROWS = 128
"""Rows that are worked on side by side."""

BLOCK_MIN = 512
"""Elements below which a block gains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Part of the last axis as (..., blocks, elements), and the places where the blocks start."""

    rows: TracedTensor
    starts: Array


def cut(x: TracedTensor, count: int) -> list[Blocks]:
    """The last axis in blocks of which ``count`` elements each are of use, and what is left over.

    Raises:
        UnsupportedError: places are not exact in float32, or what is left of all blocks is too long
            for one instruction.
    """
    size, rows = x.shape[-1], max(1, math.prod(x.shape[:-1]))
    least = -(-size // LONGEST)
    wanted = max(least, min(ROWS // rows, size // BLOCK_MIN), 1)
    even = [n for n in range(max(least, wanted // 4), 2 * wanted + 1) if size % n == 0]
    number = min(even, key=lambda n: abs(n - wanted), default=wanted)
    if number * count > size // 2 and least == 1:
        number = 1
    if number * count > LONGEST or size > EXACT:
        raise located(
            UnsupportedError,
            f"rows of {size} elements are not supported where blocks of them keep {count} elements "
            f"each; rows have at most {EXACT} elements, all blocks keep at most {LONGEST}",
        )
    inner = size // number
    inner -= size - number * inner == 1  # a rest of one element is no row
    return [
        Blocks(
            rows=call(np.reshape, x[..., start:stop], (*x.shape[:-1], -1, length)),
            starts=np.arange(start, stop, length).astype(np.float32),
        )
        for start, stop, length in (
            (0, number * inner, inner),
            (number * inner, size, size - number * inner),
        )
        if length
    ]


def end_to_end(tensors: list[Any]) -> Any:
    """One tensor of several along the last axis."""
    return np.concatenate(tensors, axis=-1) if len(tensors) > 1 else tensors[0]
