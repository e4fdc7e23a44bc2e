"""Common refinement of two shapes: the factors that a reshape only regroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nkigen_cp.ir.tensor.graph import DimIndex, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """Factors, outermost first, and how each shape's dims are made of them."""

    sizes: tuple[int, ...]
    first: tuple[DimIndex, ...]
    second: tuple[DimIndex, ...]


def _dim_indices(shape: Sequence[int], sizes: Sequence[int]) -> tuple[DimIndex, ...]:
    """Index map of a shape over factors that are known to nest in its dims."""
    index: list[DimIndex] = []
    factor = 0
    for size in shape:
        members: list[int] = []
        product = 1
        while product < size:
            members.append(factor)
            product *= sizes[factor]
            factor += 1
        terms: list[Term] = []
        for member in members:
            product //= sizes[member]
            terms.append(Term(axis=member, stride=product))
        index.append(DimIndex(terms=tuple(terms)))
    return tuple(index)


def refine(first: Sequence[int], second: Sequence[int]) -> Refinement | None:
    """The factors common to two shapes of equal size; None if the shapes do not nest.

    Dims of size 1 use no factor.

    >>> refine((4, 6), (8, 3)).sizes
    (4, 2, 3)
    >>> refine((3, 4), (4, 3)) is None
    True
    """
    if 0 in (*first, *second):
        return None
    left, right = [s for s in first if s > 1], [s for s in second if s > 1]
    sizes: list[int] = []
    while left and right:
        factor = min(left[0], right[0])
        if left[0] % factor or right[0] % factor:
            return None
        sizes.append(factor)
        for rest in (left, right):
            rest[0] //= factor
            if rest[0] == 1:
                rest.pop(0)
    return Refinement(
        sizes=tuple(sizes), first=_dim_indices(first, sizes), second=_dim_indices(second, sizes)
    )
