"""Delays: pipelined loops compute what they would without, and tiles stay as long as needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.plan import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A step's use of a place: an SBUF form and all that take it over, or a form in HBM."""

    step: Step
    writes: bool


def delays(facts: Facts) -> Iterator[str]:
    """A step has a delay per loop, and all steps of an inner loop follow together."""
    inner: dict[tuple[str, ...], tuple[int, ...]] = {}
    for step in facts.plan.steps:
        if step.delays and (len(step.delays) != len(step.path) or min(step.delays) < 0):
            yield f"step {step.name!r} has delays {step.delays} in loops {step.path}"
            continue
        for depth in range(1, len(step.path)):
            given = tuple(step.delay_in(k) for k in range(depth))
            known = inner.setdefault(step.path[: depth + 1], given)
            if known != given:
                loop = step.path[depth]
                yield f"step {step.name!r} has delays {given} around loop {loop!r}, others {known}"


def places(facts: Facts) -> dict[str, list[Touch]]:
    """Uses in program order, by the form that came first to the place."""
    found: dict[str, list[Touch]] = {}
    for step in facts.plan.steps:
        written = [u.form for u in step.writes]
        for name in dict.fromkeys((*written, *(u.form for u in step.reads))):
            place = first_there(facts, name)
            found.setdefault(place, []).append(Touch(step=step, writes=name in written))
    return found


def first_there(facts: Facts, name: str) -> str:
    """The form whose place a form takes in the end; one that does not exist ends the way."""
    passed: dict[str, None] = {}
    while name not in passed:
        passed[name] = None
        before = facts.forms[name].over
        if before is not None and before in facts.forms:
            name = before
    return name


def spread(facts: Facts, touches: list[Touch], place: str) -> int:
    """Turns of the loop in which a place lives from its first use to its last."""
    layout = facts.forms[place].layout
    depth = len(layout.home) if layout is not None else 0
    turns = [t.step.delay_in(depth - 1) for t in touches] if depth else [0]
    return max(turns) - min(turns)


def crossing(facts: Facts) -> Mapping[str, bool]:
    """Per form, whether tiles of neighbouring iterations are alive together in program order."""
    found = places(facts)
    crosses: dict[str, bool] = {}
    for form in facts.plan.forms:
        place = first_there(facts, form.name)
        crosses[form.name] = spread(facts, found.get(place, []), place) > 0
    return crosses


def kept_in_order(facts: Facts) -> Iterator[str]:
    """What a step uses is not used out of turn by steps of other delays."""
    for place, touches in places(facts).items():
        layout = facts.forms[place].layout
        own = len(layout.home) if layout is not None else 0
        for a, b in itertools.combinations(touches, 2):
            if a.writes or b.writes:
                yield from _pair(place, a, b, own)


def _pair(place: str, a: Touch, b: Touch, own: int) -> Iterator[str]:
    """``b`` follows ``a`` in program order; the place lives in the first ``own`` loops."""
    for depth, (one, other) in enumerate(zip(a.step.path, b.step.path, strict=False)):
        if one != other:
            return
        before, after = a.step.delay_in(depth), b.step.delay_in(depth)
        where = f"in loop {one!r} step {b.step.name!r} uses {place!r} with delay {after}"
        if depth < own and after < before:
            yield f"{where}, step {a.step.name!r} before it with {before}"
        if depth >= own and after != before and a.writes != b.writes:
            yield f"{where}, step {a.step.name!r} with {before}; it outlives the iteration"


def enough_copies(facts: Facts) -> Iterator[str]:
    """A form has a copy per iteration that is alive."""
    found = places(facts)
    for place, touches in found.items():
        form = facts.forms[place]
        needed = spread(facts, touches, place) + 1
        if form.copies < needed:
            yield f"form {place!r} has {form.copies} copies, {needed} iterations need theirs"
