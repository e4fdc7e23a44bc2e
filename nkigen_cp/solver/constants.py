"""Constants that the chip can make itself: uniform ones, and two values split by an affine form."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Array
from nkigen_cp.solver.plan import Generate


def recognise(program: Program, name: str, array: Array) -> Generate | None:
    """How to make the constant on chip, or None if it must come as a kernel input."""
    if not any(array.strides):  # one value broadcast: nothing to look at
        value = float(np.ravel(array[(0,) * array.ndim])[0])
        return Generate(tensor=name, outside=value, inside=value, offset=0, coefficients={})
    values = np.unique(np.asarray(array, np.float64))
    if values.size == 1:
        return Generate(
            tensor=name, outside=float(values[0]), inside=float(values[0]), offset=0,
            coefficients={},
        )  # fmt: skip
    if values.size != 2:
        return None
    grids: Any = np.reshape(np.indices(array.shape, np.int64), (array.ndim, -1))
    flat: Any = np.ravel(np.asarray(array, np.float64))
    for signs in itertools.product((-1, 0, 1), repeat=array.ndim):
        form: Any = np.asarray(signs, np.int64) @ grids
        for inside, outside in ((values[0], values[1]), (values[1], values[0])):
            threshold = _threshold(form, flat == inside)
            if threshold is not None:
                return Generate(
                    tensor=name,
                    outside=float(outside),
                    inside=float(inside),
                    offset=-threshold,
                    coefficients=_per_factor(program, name, signs),
                )
    return None


def _threshold(form: Any, mask: Any) -> int | None:
    """T such that the mask is exactly ``form >= t``."""
    t = int(form[mask].min())
    return t if bool(np.array_equal(form >= t, mask)) else None


def _per_factor(program: Program, name: str, signs: tuple[int, ...]) -> dict[str, int]:
    """Coefficients of the dims spread over their factors."""
    tensor = program.tensors[name]
    coefficients: dict[str, int] = {}
    factors = list(tensor.factors)
    for size, sign in zip(reversed(tensor.shape), reversed(signs), strict=True):
        step = 1
        while step < size:
            factor = factors.pop()
            if sign:
                coefficients[factor.name] = sign * step
            step *= factor.size
    return coefficients
