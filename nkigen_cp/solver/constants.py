"""Constants that the chip can make itself.

Uniform ones, affine ramps (arange, a grid's row or column numbers), and two values of which one
lies where an affine form is within bounds (tri, eye, causal and sliding window masks).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nkigen_cp.ir.factor.program import OPAQUE, Program
from nkigen_cp.ir.tensor.graph import Array
from nkigen_cp.solver.plan import Generate, Select

_SAMPLES = 61
_INT32 = np.iinfo(np.int32)


def recognise(program: Program, name: str, array: Array) -> Generate | None:
    """How to make the constant on chip, or None if it must come as a kernel input.

    A view that no factoring serves and a collective read it in HBM.
    """
    if not array.size or any(op.kind in OPAQUE for op in program.consumers(name)):
        return None
    first = float(np.ravel(array[(slice(0, 1),) * array.ndim])[0])
    if not any(array.strides):  # one value broadcast: nothing to look at
        return Generate(tensor=name, coefficients={}, fill=first)
    ramp = _ramp(array, first)
    if ramp is not None:
        weights = _per_factor(program, name, ramp)
        return Generate(tensor=name, coefficients=weights, fill=None, first=int(first))
    values = _values(array)
    if len(values) == 1:
        return Generate(tensor=name, coefficients={}, fill=first)
    return _of_two(program, name, array, values) if len(values) == 2 else None


def _values(array: Array) -> list[float]:
    """The values of an array that has one or two, in ascending order; of any other, nothing."""
    flat: Any = np.ravel(array)
    few = np.unique(flat[:: max(1, flat.size // _SAMPLES)])
    if len(few) == 1:
        others = flat[flat != few[0]]
        few = np.unique([few[0], *others[:1]])
    alike = len(few) <= 2 and bool(np.all((flat == few[0]) | (flat == few[-1])))
    return [float(v) for v in few] if alike else []


def _of_two(program: Program, name: str, array: Array, values: list[float]) -> Generate | None:
    """How to make a constant of two values, if one of them lies between bounds of a form."""
    if any(float(np.float32(v)) != v for v in values):
        return None
    strides = [max(1, n // _SAMPLES) for n in array.shape]
    sample = array[tuple(slice(None, None, s) for s in strides)]
    for steps in itertools.product(*((-1, 0, 1) if n > 1 else (0,) for n in array.shape)):
        for inside, outside in (values, values[::-1]):
            apart = [a * b for a, b in zip(steps, strides, strict=True)]
            if _between(sample, apart, inside, outside) is None:
                continue  # most forms are ruled out by a few elements
            made = _between(array, steps, inside, outside)
            if made is not None:
                fill, selects = made
                weights = _per_factor(program, name, steps)
                return Generate(tensor=name, coefficients=weights, fill=fill, selects=selects)
    return None


def _ramp(array: Array, first: float) -> tuple[int, ...] | None:
    """Whole steps per dim such that the array counts in them from its first element, or None."""
    rank = array.ndim
    ends = [tuple(int(d == k) for d in range(rank)) for k in range(rank)]
    steps = [
        float(array[e]) - first if n > 1 else 0.0 for e, n in zip(ends, array.shape, strict=True)
    ]
    whole = all(np.isfinite(v) and v == int(v) for v in (first, *steps))
    if not whole or not any(steps) or not _INT32.min <= first <= _INT32.max:
        return None
    counted = tuple(int(s) for s in steps)
    return counted if np.array_equal(_form(array.shape, counted) + int(first), array) else None


def _form(shape: Sequence[int], steps: Sequence[int]) -> Any:
    """The affine form over every position, as far as possible without its being spread out."""
    grids: Any = np.ogrid[tuple(slice(0, n) for n in shape)]
    form: Any = np.zeros((1,) * len(shape), np.int64)
    for step, grid in zip(steps, grids, strict=True):
        form = form + step * grid if step else form
    return form


def _between(
    array: Array, steps: Sequence[int], inside: float, outside: float
) -> tuple[float, tuple[Select, ...]] | None:
    """What fills the tile, and what is put over it; None unless ``inside`` is between bounds."""
    form, mask = np.broadcast_to(_form(array.shape, steps), array.shape), array == inside
    if not mask.any():
        return 0.0, ()  # a sample without it
    within = form[mask]
    low, high = int(within.min()), int(within.max())
    if not np.array_equal((form >= low) & (form <= high), mask):
        return None
    if low == high:
        return outside, (Select(keep="not_equal", offset=-low, value=inside),)
    bounds = (
        Select(keep="greater", offset=1 - low, value=outside),
        Select(keep="less", offset=-1 - high, value=outside),
    )
    needed = (bool((form < low).any()), bool((form > high).any()))
    return inside, tuple(itertools.compress(bounds, needed))


def _per_factor(program: Program, name: str, steps: Sequence[int]) -> dict[str, int]:
    """Coefficients of the dims spread over their factors."""
    tensor = program.tensors[name]
    coefficients: dict[str, int] = {}
    factors = list(tensor.factors)
    for size, weight in zip(reversed(tensor.shape), reversed(steps), strict=True):
        step = 1
        while step < size:
            factor = factors.pop()
            if weight:
                coefficients[factor.name] = weight * step
            step *= factor.size
    return coefficients
