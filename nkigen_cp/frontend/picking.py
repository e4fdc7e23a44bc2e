"""Indices known while tracing: arrays become runs of equally spaced positions, joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.content import Line, joined, whole
from nkigen_cp.frontend.shape import reshape
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array


def pick(x: TracedTensor, dim: int, indices: Array) -> TracedTensor:
    """``x`` at the positions of ``indices`` along one dim, whose place their dims take.

    Raises:
        ShapeError: an index is out of bounds.
    """
    size = x.shape[dim]
    given = np.asarray(indices, np.int64)
    if given.size and (given.min() < -size or given.max() >= size):
        wrong = given.min() if given.min() < -size else given.max()
        raise located(ShapeError, f"index {wrong} is out of bounds for dim {dim} of size {size}")
    at = np.mod(given.ravel(), max(1, size))
    patch = whole(x)
    line = Line(to=np.arange(at.size, dtype=np.int64), at=at, source=dim)
    lines = (*patch.lines[:dim], line, *patch.lines[dim + 1 :])
    shape = (*x.shape[:dim], at.size, *x.shape[dim + 1 :])
    picked = joined(x.builder, [replace(patch, lines=lines)], shape, x.element)
    return reshape(picked, (*x.shape[:dim], *given.shape, *x.shape[dim + 1 :]))
