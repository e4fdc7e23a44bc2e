"""Names of axes: given by ``spec(axes=...)``, carried through index maps, else ``d0``, ``d1``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex

_DEFAULT = re.compile(r"d\d+")
Placed = tuple[TracedTensor, tuple[DimIndex, ...]]


def whole_axis(index: DimIndex, size: int, sizes: Sequence[int]) -> int | None:
    """The iteration axis that alone runs over a whole dim of this size, if one does."""
    if index.offset or len(index.terms) != 1 or index.terms[0].stride != 1:
        return None
    axis = index.terms[0].axis
    return axis if sizes[axis] == size else None


def _given_names(sizes: Sequence[int], operands: Sequence[Placed]) -> dict[int, str]:
    """Iteration axis -> name the user gave to an operand dim it runs over."""
    names: dict[int, str] = {}
    for tensor, index in operands:
        for dim, place in enumerate(index):
            axis = whole_axis(place, tensor.shape[dim], sizes)
            if axis is not None and not _DEFAULT.fullmatch(tensor.axes[dim]):
                names.setdefault(axis, tensor.axes[dim])
    return names


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Later repetitions become ``name_2``, ``name_3``, ..."""
    out: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in out:
            count += 1
            candidate = f"{name}_{count}"
        out.append(candidate)
    return tuple(out)


def result_names(
    shape: Sequence[int],
    index: Sequence[DimIndex],
    sizes: Sequence[int],
    operands: Sequence[Placed],
) -> tuple[str, ...]:
    """Axis names of an op's result: a dim that is exactly one operand dim keeps its name."""
    given = _given_names(sizes, operands)
    names: list[str] = []
    for dim, place in enumerate(index):
        axis = whole_axis(place, shape[dim], sizes)
        names.append(given.get(-1 if axis is None else axis, f"d{dim}"))
    return _distinct(names)


def iteration_names(
    sizes: Sequence[int],
    index: Sequence[DimIndex],
    result: TracedTensor,
    operands: Sequence[Placed],
    reduced: Sequence[int],
) -> tuple[str, ...]:
    """Names of iteration axes: of the dim they run over, else ``r0`` if reduced, ``f0`` if not."""
    names = _given_names(sizes, operands)
    for dim, place in enumerate(index):
        axis = whole_axis(place, result.shape[dim], sizes)
        if axis is not None:
            names.setdefault(axis, result.axes[dim])
    for axis in range(len(sizes)):
        names.setdefault(axis, f"r{axis}" if axis in reduced else f"f{axis}")
    return _distinct([names[axis] for axis in range(len(sizes))])
