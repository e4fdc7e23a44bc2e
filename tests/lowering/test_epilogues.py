"""Reductions on the way out of PSUM: one instruction evicts a tile and yields its row results."""

from __future__ import annotations

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Instruction, Memory
from tests.lowering.kernels import (
    Lowered,
    Program,
    attention,
    executed,
    heads,
    lowered,
    ridge,
    tops,
    views,
    weights,
)

EVICTIONS: list[tuple[Program, str, str, int]] = [
    ((tops, ((200, 100), (100, 1000))), "float32", "tensor_scalar_reduce", 4),
    ((tops, ((128, 128), (128, 512))), "float32", "tensor_scalar_reduce", 2),
    ((heads, ((128, 100), (100, 2000))), "float32", "tensor_scalar_reduce", 4),
    ((attention, ((128, 128), (1024, 128), (1024, 128))), "float32", "tensor_scalar_reduce", 2),
    ((attention, ((128, 128), (1024, 128), (1024, 128))), "bfloat16", "tensor_scalar_reduce", 2),
    ((ridge, ((200, 100), (100, 400))), "float32", "tensor_reduce", 2),
    ((ridge, ((200, 100), (100, 400))), "bfloat16", "tensor_reduce", 2),
    ((weights, ((200, 100), (100, 400))), "float32", "activation", 2),
    ((weights, ((200, 100), (100, 400))), "bfloat16", "activation", 2),
]
"""A program, the instruction that should evict its contraction, how many such evictions run."""

FULL = ("tensor_reduce",)
"""Instructions that write nothing but the reduction."""

TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}


def _from_psum(made: Lowered, instruction: Instruction) -> bool:
    return made.kernel.buffers[views(instruction)["data"].buffer].memory is Memory.PSUM


@pytest.mark.parametrize(("program", "dtype", "name", "times"), EVICTIONS)
def test_tiles_are_reduced_as_they_are_evicted(
    program: Program, dtype: str, name: str, times: int
) -> None:
    fn, shapes = program
    made = lowered(fn, *shapes, dtype=dtype)
    evicting = [
        (i, n)
        for i, n in executed(made.kernel.body)
        if i.kind == name and _from_psum(made, i) and (name in FULL or "reduce_res" in views(i))
    ]
    assert sum(n for _, n in evicting) == times
    got = np.asarray(cp.simulate(made.kernel, *made.arrays), np.float64)
    assert np.abs(got - made.want).max() <= TOLERANCE[dtype] * np.abs(made.want).max()
