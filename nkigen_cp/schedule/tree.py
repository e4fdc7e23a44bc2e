"""A plan's steps as nested levels: the items of a level are single steps and whole loops."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from nkigen_cp.solver.plan import PlanData, Step

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a level runs in one go: a step, or the neighbouring steps of a loop."""

    steps: tuple[Step, ...]
    loop: str | None

    @property
    def name(self) -> str:
        return self.loop or self.steps[0].name


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The body of the loops ``path``, whose steps are ``steps[start:stop]`` of the plan."""

    path: Path
    start: int
    stop: int
    items: tuple[Item, ...]


def levels(plan: PlanData) -> list[Path]:
    """The paths of all loop bodies, inner ones first; that of the whole plan last."""
    paths = dict.fromkeys(s.path[:k] for s in plan.steps for k in range(len(s.path) + 1))
    return sorted(paths, key=lambda p: -len(p))


def level_of(plan: PlanData, path: Path) -> Level:
    """The level of a path; a loop's steps are neighbours."""
    depth = len(path)
    inside = [k for k, s in enumerate(plan.steps) if s.path[:depth] == path]
    start, stop = inside[0], inside[-1] + 1
    return Level(path=path, start=start, stop=stop, items=_items(plan.steps[start:stop], depth))


def _items(steps: Sequence[Step], depth: int) -> tuple[Item, ...]:
    found: list[Item] = []
    groups = itertools.groupby(steps, key=lambda s: s.path[depth] if len(s.path) > depth else None)
    for loop, group in groups:
        if loop is None:
            found += [Item(steps=(s,), loop=None) for s in group]
        else:
            found.append(Item(steps=tuple(group), loop=loop))
    return tuple(found)
