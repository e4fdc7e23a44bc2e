"""What a level's schedule has to respect, gathered from the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nkigen_cp.schedule.measure import Measure, Spans
from nkigen_cp.schedule.tree import Item, Level
from nkigen_cp.solver.pack import places
from nkigen_cp.solver.plan import Form, PlanData, Step
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Item ``after`` starts at least ``lag_ns`` after the start of item ``before``."""

    before: int
    after: int
    lag_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """SBUF that items share: ``users`` in program order, bytes per partition of one copy."""

    place: str
    users: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A level: spans per item, order, rooms of one iteration, and the bytes left for them.

    ``own_bytes`` per item are needed while it runs alone; ``together`` are items that leave
    something to each other from iteration to iteration and so keep one delay.
    """

    spans: tuple[Spans, ...]
    edges: tuple[Edge, ...]
    rooms: tuple[Room, ...]
    own_bytes: tuple[int, ...]
    together: tuple[tuple[int, ...], ...]
    capacity_bytes: int
    trips: int

    def length_ns(self, item: int) -> int:
        """Until the last of the item's lanes has finished."""
        return max((s.last_ns for s in self.spans[item].values()), default=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Touch:
    item: int
    form: str
    writes: bool


def gather(measure: Measure, level: Level, target: Target) -> Problem:
    """The problem of a level; its items are measured."""
    plan, items = measure.plan, level.items
    touches = _touches(plan, items)
    pairs: dict[tuple[int, int], None] = {}
    for found in touches.values():
        pairs.update(dict.fromkeys(_ordered(found, looped=bool(level.path))))
    edges = [
        Edge(before=a, after=b, lag_ns=max(0, measure.lag_ns(items[a], items[b]))) for a, b in pairs
    ]
    forms = {f.name: f for f in plan.forms}
    homes = {p: () if (x := forms[p].layout) is None else x.home for p in touches}
    rooms = [
        Room(place=p, users=_items(found), size_bytes=_size(plan.forms, p))
        for p, found in touches.items()
        if forms[p].layout is not None and homes[p] == level.path
    ]
    outside = [_items(f) for p, f in touches.items() if homes[p] != level.path and _both(f)]
    trips = next((k.trips for k in plan.loops if level.path and k.name == level.path[-1]), 1)
    return Problem(
        spans=tuple(measure.spans(i) for i in items),
        edges=tuple(edges),
        rooms=tuple(rooms),
        own_bytes=tuple(_inside(plan, level, i) for i in items),
        together=tuple(users for users in outside if len(users) > 1),
        capacity_bytes=target.sbuf_partition_bytes - _around(plan, level),
        trips=trips,
    )


def _touches(plan: PlanData, items: Sequence[Item]) -> dict[str, list[_Touch]]:
    """Uses of every place in memory and of every form in HBM, in program order."""
    place = places(plan.forms)
    found: dict[str, list[_Touch]] = {}
    for k, item in enumerate(items):
        for step in item.steps:
            for form in dict.fromkeys(u.form for u in (*step.reads, *step.writes)):
                writes = any(u.form == form for u in step.writes)
                touch = _Touch(item=k, form=form, writes=writes)
                found.setdefault(place[form], []).append(touch)
    return found


def _ordered(touches: Sequence[_Touch], *, looped: bool) -> list[tuple[int, int]]:
    """Pairs of items of which the first has to stay ahead.

    Producers of parts of one form write beside each other, but in a loop the first one makes it.
    """
    return [
        (a.item, b.item)
        for k, b in enumerate(touches)
        for a in touches[:k]
        if a.item != b.item
        and (a.writes or b.writes)
        and (looped or not (a.writes and b.writes and a.form == b.form))
    ]


def _items(touches: Sequence[_Touch]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(t.item for t in touches))


def _both(touches: Sequence[_Touch]) -> bool:
    """Whether something is written as well as read."""
    return any(t.writes for t in touches) and any(not t.writes for t in touches)


def _size(forms: Sequence[Form], place: str) -> int:
    owners = places(forms)
    return max(f.partition_bytes // f.copies for f in forms if owners[f.name] == place)


def _inside(plan: PlanData, level: Level, item: Item) -> int:
    """Most bytes that only one item needs: tiles of a step, forms that live in an inner loop."""
    depth = len(level.path)
    deeper = [f for f in plan.forms if f.layout is not None and len(f.layout.home) > depth]
    return max(_alive(deeper, s) + s.sbuf_bytes for s in item.steps)


def _alive(forms: Sequence[Form], step: Step) -> int:
    alive = [f for f in forms if f.first_step <= step.group <= f.last_step]
    names = [f.name for f in alive]
    return sum(f.partition_bytes for f in alive if f.over not in names)


def _around(plan: PlanData, level: Level) -> int:
    """Bytes that live around the level's loop while it runs."""
    depth = len(level.path)
    outer = [f for f in plan.forms if f.layout is not None and len(f.layout.home) < depth]
    steps = plan.steps[level.start : level.stop]
    return max(_alive(outer, s) for s in steps) if depth else 0
