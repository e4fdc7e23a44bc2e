"""Functions of rows compared: both sides as one unknown function of all that a row holds.

Which function it is shows in its name alone, so an instruction equals an op if both have the same
name and get the same rows: sums of sampled elements, weighed by name, place and operand.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.solver.plan import Cover, Value

Array = Any

INPUTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "tensor_scalar_cumulative": (("src",),),
    "top": (("data",),),
    "find": (("data",), ("values", "value")),
}
"""Per instruction the parameters that are inputs of the function, by their possible names."""


def name_of(cover: Cover) -> str | None:
    """The function that an instruction computes, or None if it computes none of rows."""
    if cover.instruction not in INPUTS:
        return None
    if cover.instruction != "tensor_scalar_cumulative":
        return cover.instruction
    params = cover.params
    if (params.get("op0"), params.get("imm0")) != ("multiply", 1.0):
        return None
    if params.get("reduce_cmd", "reset_reduce") != "reset_reduce":
        return None
    return f"scan by {params.get('op1')}"


def function_of(op: FactorOp) -> str:
    """The function that an op is."""
    alu = OPS[op.kind].alu
    return op.kind if alu is None else f"scan by {alu}"


def whole_digits(op: FactorOp) -> list[str]:
    """The digits that make up the rows which an op reads or makes."""
    return [d.name for d in op.digits if d.whole]


def applied(
    function: str, operands: Sequence[Array], inside: Sequence[Array], made: Sequence[Array]
) -> Array:
    """The function at the places ``made`` of its result.

    Operands have one axis per whole digit behind all others, whose positions ``inside`` gives.
    """
    count = len(inside)
    place = sum((0.37 + k) * p for k, p in enumerate(made)) if made else np.zeros(())
    along = sum((0.61 + k) * p for k, p in enumerate(inside))
    total: Array = np.zeros(())
    for k, operand in enumerate(operands):
        phase = zlib.crc32(f"{function} {k}".encode()) / 2**30
        weights = np.sin(phase + along + np.asarray(place) * (1.3 + along))
        weighed = np.broadcast_to(operand * weights, np.broadcast(operand, weights, *inside).shape)
        total = total + weighed.sum(axis=tuple(range(-count, 0)))
    return total


def by_instruction(
    cover: Cover,
    given: Mapping[str, Array | Value],
    axes: Sequence[int],
    at: Sequence[Array],
    made: Sequence[Array],
) -> Array | None:
    """What the instruction computes on a grid; None if it computes no function of rows.

    ``axes`` of the grid are the whole digits, ``at`` their positions along one axis each.
    """
    function = name_of(cover)
    if function is None:
        return None
    count = len(axes)
    operands: list[Any] = []
    for names in INPUTS[cover.instruction]:
        value: Any = next((given[n] for n in names if n in given), None)
        if value is None:
            return None
        if np.ndim(value):
            value = np.expand_dims(np.moveaxis(value, axes, range(-count, 0)), tuple(axes))
        operands.append(value)
    inside = [p.reshape([-1 if k == n else 1 for k in range(count)]) for n, p in enumerate(at)]
    return applied(function, operands, inside, [m[(..., *(None,) * count)] for m in made])
