"""What collectives mean: functions of what the ranks of one group hold, in the group's order.

Every rank runs the same program. ``groups`` are the replica groups: every rank is in one of them,
all are of one size. A rank's ``place`` is its position in its group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

Groups = tuple[tuple[int, ...], ...]
Exchange = Callable[[Sequence[Any], int, str], Any]
"""(sources of the group's ranks, place, operator) -> what the rank at that place gets."""

COMBINED_BY: Mapping[str, Any] = {
    "add": np.add,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
"""Operators of reductions over ranks, by their nki.language names."""


def _piece(array: Any, place: int, count: int) -> Any:
    size = array.shape[0] // count
    return array[place * size : (place + 1) * size]


def _all_reduce(sources: Sequence[Any], place: int, op: str) -> Any:
    del place
    return reduce(COMBINED_BY[op], sources)


def _all_gather(sources: Sequence[Any], place: int, op: str) -> Any:
    del place, op
    return np.concatenate(sources)


def _reduce_scatter(sources: Sequence[Any], place: int, op: str) -> Any:
    return reduce(COMBINED_BY[op], [_piece(s, place, len(sources)) for s in sources])


def _all_to_all(sources: Sequence[Any], place: int, op: str) -> Any:
    del op
    return np.concatenate([_piece(s, place, len(sources)) for s in sources])


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One collective.

    The result's first dim is ``grows`` times the group's size longer than the operand's (1), as
    long (0), or shorter (-1). ``passes`` is how often a rank's data goes around the group.
    """

    name: str
    exchange: Exchange
    grows: int = 0
    reduces: bool = False
    passes: int = 1
    doc: str = ""

    @property
    def splits(self) -> bool:
        """Whether the first dim is cut into a piece per rank."""
        return self.grows < 0 or self.name == "all_to_all"

    def shape(self, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
        """The result's shape in groups of ``count`` ranks."""
        if not self.grows:
            return shape
        first = shape[0] * count if self.grows > 0 else shape[0] // count
        return (first, *shape[1:])


COLLECTIVES: Mapping[str, Collective] = {
    c.name: c
    for c in (
        Collective(
            name="all_reduce",
            exchange=_all_reduce,
            reduces=True,
            passes=2,
            doc="element by element over the ranks of a group",
        ),
        Collective(
            name="all_gather",
            exchange=_all_gather,
            grows=1,
            doc="what all ranks of a group have, one behind the other along the first dim",
        ),
        Collective(
            name="reduce_scatter",
            exchange=_reduce_scatter,
            grows=-1,
            reduces=True,
            doc="each rank's piece, along the first dim, of an all_reduce",
        ),
        Collective(
            name="all_to_all",
            exchange=_all_to_all,
            doc="each rank's piece, along the first dim, of what every rank has",
        ),
    )
}


def groups_problem(groups: Sequence[Sequence[int]]) -> str | None:
    """What is wrong with replica groups; None if nothing is."""
    ranks = [rank for group in groups for rank in group]
    if not ranks or len({len(group) for group in groups}) > 1:
        return "are not groups of one size, of one rank at least"
    if sorted(ranks) != list(range(len(ranks))):
        return f"do not have each of the ranks 0 to {len(ranks) - 1} once"
    return None


def group_of(groups: Groups, rank: int) -> tuple[int, ...]:
    """The group in which a rank is."""
    return next(group for group in groups if rank in group)
