"""SBUF addresses: first fit by size over the exact lifetimes of forms and step tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nkigen_cp.solver.plan import Form, Step

ALIGNMENT_BYTES = 4
"""Of SBUF addresses (nl.tile_size.sbuf_min_align)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Forms with addresses, if they fit; ``peak_bytes`` is the most alive at any step."""

    forms: tuple[Form, ...]
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    first: int
    last: int
    start: int
    end: int


def pack(steps: Sequence[Step], forms: Sequence[Form], capacity: int) -> Packed:
    """Addresses in bytes within every partition; none at all if first fit exceeds the capacity.

    Order by size, then birth; a step's own tiles are placed like forms that live for one step.
    """
    peak = peak_bytes(steps, forms)
    placed: list[_Placed] = []
    address: dict[str, int] = {}
    places = shared_places(forms)
    items = [(p.size_bytes, p.first, p.last, p.form) for p in places]
    items += [(_aligned(s.sbuf_bytes), s.group, s.group, "") for s in steps if s.sbuf_bytes]
    for size, first, last, name in sorted(items, key=lambda i: (-i[0], i[1], i[3])):
        start = _first_fit(placed, size, first, last)
        if start + size > capacity:
            return Packed(forms=tuple(forms), peak_bytes=peak)
        placed.append(_Placed(first=first, last=last, start=start, end=start + size))
        if name:
            address[name] = start
    for place in places:
        address |= dict.fromkeys(place.over, address[place.form])
    done = tuple(replace(f, address=address[f.name]) if f.name in address else f for f in forms)
    return Packed(forms=done, peak_bytes=peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """SBUF of a form and of those that take it over one after the other."""

    form: str
    over: tuple[str, ...]
    size_bytes: int
    first: int
    last: int


def places(forms: Sequence[Form]) -> dict[str, str]:
    """The form whose place in memory every form takes; its own for most."""
    over = {f.name: f.over for f in forms}

    def owner(name: str) -> str:
        before = over[name]
        return name if before is None else owner(before)

    return {name: owner(name) for name in over}


def shared_places(forms: Sequence[Form]) -> list[Place]:
    """The places of all forms on chip, from the birth of the first to the end of the last."""
    owner = places(forms)
    chains: dict[str, list[Form]] = {}
    for form in forms:
        if form.layout is not None:
            chains.setdefault(owner[form.name], []).append(form)
    return [
        Place(
            form=first,
            over=tuple(f.name for f in members if f.name != first),
            size_bytes=max(f.partition_bytes for f in members),
            first=min(f.first_step for f in members),
            last=max(f.last_step for f in members),
        )
        for first, members in chains.items()
    ]


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _first_fit(placed: Sequence[_Placed], size: int, first: int, last: int) -> int:
    start = 0
    alive = sorted(
        (p for p in placed if p.first <= last and first <= p.last), key=lambda p: p.start
    )
    for p in alive:
        if start + size <= p.start:
            break
        start = max(start, p.end)
    return start


def peak_bytes(steps: Sequence[Step], forms: Sequence[Form]) -> int:
    """Most bytes per partition alive at any step, the step's tiles included."""
    return max(used_bytes(steps, forms), default=0)


def used_bytes(steps: Sequence[Step], forms: Sequence[Form]) -> tuple[int, ...]:
    """Bytes per partition alive at every step, the step's tiles included."""
    places = shared_places(forms)
    return tuple(
        s.sbuf_bytes + sum(p.size_bytes for p in places if p.first <= s.group <= p.last)
        for s in steps
    )
