"""Indices known while tracing: arrays become runs of equally spaced positions, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.builder import Index, Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.operands import along, copy
from nkigen_cp.frontend.shape import reshape
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array, DimIndex, identity_index


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Positions ``start + step * i``; a step of 0 repeats one."""

    start: int
    step: int
    count: int


def runs_of(positions: Sequence[int]) -> list[Run]:
    """The positions as few runs, from the first on."""
    found: list[Run] = []
    at = 0
    while at < len(positions):
        step = positions[at + 1] - positions[at] if at + 1 < len(positions) else 1
        end = at + 1
        while end < len(positions) and positions[end] - positions[end - 1] == step:
            end += 1
        # A lone step to the next run belongs to the next run where that goes on.
        if end - at == 2 and end < len(positions) and len(positions) > 2:
            end = at + 1
        found.append(Run(start=positions[at], step=step if end - at > 1 else 1, count=end - at))
        at = end
    return found


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
    flat = [int(i) % size for i in given.ravel()]
    picked = _joined(x, dim, runs_of(flat))
    return reshape(picked, (*x.shape[:dim], *given.shape, *x.shape[dim + 1 :]))


def _joined(x: TracedTensor, dim: int, runs: Sequence[Run]) -> TracedTensor:
    """One tensor that every run writes a window of."""
    count = sum(r.count for r in runs)
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    if not runs:
        runs = [Run(start=0, step=1, count=0)]
    if len(runs) == 1:
        sizes, read, write = _piece(x, dim, runs[0], 0)
        return copy(x, sizes, read, shape, write)
    result = x.builder.tensor(shape, x.element, tuple(f"d{k}" for k in range(x.ndim)))
    start = 0
    for run in runs:
        sizes, read, write = _piece(x, dim, run, start)
        step = Step(
            kind="copy",
            sizes=sizes,
            inputs=[Read(tensor=x, index=read)],
            index=write,
            attrs={"dtype": x.element.name},
        )
        x.builder.write(step, result)
        start += run.count
    return result


def _piece(x: TracedTensor, dim: int, run: Run, start: int) -> tuple[tuple[int, ...], Index, Index]:
    sizes = (*x.shape[:dim], run.count, *x.shape[dim + 1 :])
    whole = identity_index(range(x.ndim))
    at = along(dim, stride=run.step, offset=run.start) if run.step else DimIndex(offset=run.start)
    write = along(dim, offset=start)
    return sizes, (*whole[:dim], at, *whole[dim + 1 :]), (*whole[:dim], write, *whole[dim + 1 :])
