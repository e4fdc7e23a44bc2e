"""A tensor made window by window: which elements of which tensors it consists of.

The windows of a patch are products of positions, one row of positions per dim. Recorded, every
patch becomes as few copy ops as it has runs of equally spaced positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.frontend.axes import result_names
from nkigen_cp.frontend.step import Index, Read, Step
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import DimIndex, Term

if TYPE_CHECKING:
    from nkigen_cp.frontend.builder import Builder

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Along one dim: position ``at[k]`` of the source's dim ``source`` goes to position ``to[k]``.

    Without a source dim every position takes the same elements.
    """

    to: Positions
    at: Positions
    source: int | None

    def taken(self, kept: NDArray[np.bool_]) -> Line:
        """The line at some of its positions."""
        return replace(self, to=self.to[kept], at=self.at[kept])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """A window that one tensor fills: a line per dim; other source dims stay at ``base``."""

    value: TracedTensor
    lines: tuple[Line, ...]
    base: tuple[int, ...]

    def at(self, dim: int, kept: NDArray[np.bool_]) -> Patch:
        """The patch at some of the positions of one dim."""
        line = self.lines[dim].taken(kept)
        return replace(self, lines=(*self.lines[:dim], line, *self.lines[dim + 1 :]))

    @property
    def fills(self) -> bool:
        """Whether the patch is its whole source, every element in its place."""
        return len(self.lines) == self.value.ndim and all(
            line.source == d and _is_range(line.to, n) and _is_range(line.at, n)
            for d, (line, n) in enumerate(zip(self.lines, self.value.shape, strict=True))
        )


def whole(value: TracedTensor) -> Patch:
    """A tensor as the only patch of one of its shape."""
    rows = (np.arange(n, dtype=np.int64) for n in value.shape)
    lines = tuple(Line(to=row, at=row, source=d) for d, row in enumerate(rows))
    return Patch(value=value, lines=lines, base=(0,) * value.ndim)


def single(position: int) -> Line:
    """One position of a dim that the source does not have."""
    zero = np.zeros(1, np.int64)
    return Line(to=zero + position, at=zero, source=None)


def covered(patches: Sequence[Patch], new: Patch) -> list[Patch]:
    """The patches after one more is laid over them: what it hides is gone."""
    return [*(part for old in patches for part in _outside(old, new)), new]


def _outside(old: Patch, new: Patch) -> Iterator[Patch]:
    """What a patch leaves of another one."""
    inside = [
        np.isin(a.to, b.to, assume_unique=True) for a, b in zip(old.lines, new.lines, strict=True)
    ]
    if not all(mask.any() for mask in inside):
        yield old
        return
    for dim, mask in enumerate(inside):
        if not mask.all():
            yield old.at(dim, ~mask)
        old = old.at(dim, mask)


def seen(patches: Sequence[Patch], rows: Sequence[Positions]) -> list[Patch]:
    """What patches show at some positions of every dim, those counted from 0."""
    found: list[Patch] = []
    for patch in patches:
        lines: list[Line] = []
        for line, row in zip(patch.lines, rows, strict=True):
            _, place, index = np.intersect1d(row, line.to, assume_unique=True, return_indices=True)
            lines.append(replace(line, to=place.astype(np.int64), at=line.at[index]))
        if all(line.to.size for line in lines):
            found.append(replace(patch, lines=tuple(lines)))
    return found


def joined(
    builder: Builder,
    patches: Sequence[Patch],
    shape: tuple[int, ...],
    element: DType,
    names: tuple[str, ...] | None = None,
) -> TracedTensor:
    """One new tensor, and the copy ops that write every patch's window of it.

    ``names`` are those of its axes, by default those of the patches' sources.
    """
    steps = [step for patch in patches for step in _steps(patch, element)]
    if names is None:
        first = steps[0]
        placed = [(r.tensor, r.index) for r in first.reads]
        names = result_names(shape, first.index, first.sizes, placed)
    result = builder.tensor(shape, element, names)
    for step in steps:
        builder.write(step, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Positions ``to + step * i`` that take ``at + stride * i``."""

    to: int
    step: int
    at: int
    stride: int
    count: int


def _is_range(row: Positions, size: int) -> bool:
    return row.size == size and bool(np.array_equal(row, np.arange(size)))


def _runs(line: Line) -> list[_Run]:
    """A line as few runs, from the lowest position on."""
    order = np.argsort(line.to, kind="stable")
    pairs = np.stack([line.to[order], line.at[order]], axis=1)
    steps = np.diff(pairs, axis=0)
    count = len(pairs)
    if count < 2 or bool(np.all(steps == steps[0])):
        return [_run(pairs, steps, 0, count)]
    # Where the step changes a run ends, unless it was a lone step, which belongs to the next run.
    found: list[_Run] = []
    same = np.all(steps[1:] == steps[:-1], axis=1).tolist()
    at = 0
    while at < count:
        end = at + 1
        while end < count and (end == at + 1 or same[end - 2]):
            end += 1
        if end - at == 2 and end < count:
            end = at + 1
        found.append(_run(pairs, steps, at, end - at))
        at = end
    return found


def _run(pairs: Positions, steps: Positions, at: int, count: int) -> _Run:
    to, source = (int(v) for v in pairs[at]) if len(pairs) else (0, 0)
    step, stride = (int(v) for v in steps[at]) if count > 1 else (1, 1)
    return _Run(to=to, step=step, at=source, stride=stride, count=count)


def _steps(patch: Patch, element: DType) -> Iterator[Step]:
    for runs in itertools.product(*(_runs(line) for line in patch.lines)):
        yield _step(patch, runs, element)


def _step(patch: Patch, runs: Sequence[_Run], element: DType) -> Step:
    """The copy of one run per dim; a single position without a source dim needs no axis."""
    sizes: list[int] = []
    write: list[DimIndex] = []
    read = [DimIndex(offset=offset) for offset in patch.base]
    for line, run in zip(patch.lines, runs, strict=True):
        if line.source is None and run.count == 1:
            write.append(DimIndex(offset=run.to))
            continue
        axis = len(sizes)
        sizes.append(run.count)
        write.append(DimIndex(offset=run.to, terms=(Term(axis=axis, stride=run.step),)))
        if line.source is not None:
            terms = (Term(axis=axis, stride=run.stride),) if run.stride else ()
            read[line.source] = DimIndex(offset=run.at, terms=terms)
    return Step(
        kind="copy",
        sizes=sizes,
        inputs=[Read(tensor=patch.value, index=_index(read))],
        index=_index(write),
        attrs={"dtype": element.name},
    )


def _index(dims: Sequence[DimIndex]) -> Index:
    return tuple(dims)
