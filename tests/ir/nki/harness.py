"""Runs one instruction on given operand values, through DMA and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nkigen_cp.ir.nki.kernel import Buffer, Instruction, Kernel, Memory, Operand, Statement
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.simulate import run
from nkigen_cp.targets import TRN2
from tests.ir.nki.builder import buffer, kernel, op, view

Array = Any


def one_instruction(
    kind: str,
    engine: str,
    arrays: Mapping[str, Array],
    outs: Mapping[str, tuple[tuple[int, ...], str]],
    **options: Operand,
) -> list[Array]:
    """Values of the outputs (name -> shape, dtype), each brought out by copy and DMA."""
    row = INSTRUCTIONS[kind]
    buffers: list[Buffer] = []
    head: list[Statement] = []
    tail: list[Statement] = []
    args: dict[str, Operand] = dict(options)
    for name, values in arrays.items():
        outer = buffer(f"in_{name}", values.shape, "input", values.dtype.name)
        inner = buffer(name, values.shape, "sbuf", values.dtype.name)
        buffers += [outer, inner]
        head.append(op("dma_copy", dst=view(inner), src=view(outer)))
        args[name] = view(inner)
    for name, (shape, dtype) in outs.items():
        parameter = row.parameter(name)
        assert parameter
        place = "psum" if parameter.memories == (Memory.PSUM,) else "sbuf"
        inner = buffer(name, shape, place, dtype)
        copied = buffer(f"copy_{name}", shape, "sbuf", dtype)
        outer = buffer(f"out_{name}", shape, "output", dtype)
        buffers += [inner, copied, outer]
        tail.append(op("tensor_copy", dst=view(copied), src=view(inner)))
        tail.append(op("dma_copy", dst=view(outer), src=view(copied)))
        args[name] = view(inner)
    made = kernel(buffers, *head, Instruction(kind=kind, engine=engine, args=args), *tail)
    return execute(made, list(arrays.values()))


def execute(made: Kernel, arrays: list[Array]) -> list[Array]:
    """Verify, then simulate."""
    verify_kernel(made, TRN2)
    return [np.asarray(a) for a in run(made, arrays, TRN2).outputs]
