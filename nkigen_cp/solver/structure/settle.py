"""One residency for every tensor, so that as much as possible fits for the least traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.solver.structure.residency import Options, Residency, bytes_at


@dataclass(slots=True)
class Settled:
    """Residencies taken; ``largest`` are alive at the fullest position, ``over`` is all missing.

    ``demoted`` has the bytes that a tensor then moves more, and the largest in its way.
    """

    taken: dict[str, Residency]
    over: int = 0
    largest: list[str] = field(default_factory=list[str])
    load: list[int] = field(default_factory=list[int])
    demoted: list[tuple[int, str, list[str]]] = field(
        default_factory=list[tuple[int, str, list[str]]]
    )


def settle(options: Mapping[str, Options], steps: int, room: int) -> Settled:
    """Demote residencies until everything fits."""
    found = Settled({t: r for t, o in options.items() if (r := o.smallest()) is not None})
    load = _Load(steps)
    for t, residency in found.taken.items():
        load.add(t, residency)
    stuck = [False] * len(load.bytes)
    while True:
        full = [k for k, size in enumerate(load.bytes) if size > room and not stuck[k]]
        if not full:
            break
        worst = max(full, key=load.bytes.__getitem__)
        over = load.bytes[worst] - room
        best: tuple[float, str, Residency] | None = None
        for t, here in load.alive[worst].items():
            now = found.taken[t]
            for other in options[t].after(now):
                freed = here - bytes_at(other, worst)
                if freed > 0:
                    added = other.moved_bytes - now.moved_bytes
                    rate = (max(0, added) + 1) / min(freed, over)
                    if best is None or (rate, t) < best[:2]:
                        best = (rate, t, other)
        if best is None:
            stuck[worst] = True
            continue
        _, t, other = best
        added = other.moved_bytes - found.taken[t].moved_bytes
        if added > 0:
            found.demoted.append((added, t, load.largest(worst)))
        load.remove(t, found.taken[t])
        found.taken[t] = other
        load.add(t, other)
    worst = load.bytes.index(max(load.bytes))
    found.largest = load.largest(worst)
    found.over = _missing(load.bytes, room)
    found.load = load.bytes
    return found


class _Load:
    """Bytes per partition at every position, all together and by tensor."""

    __slots__ = ("alive", "bytes")

    def __init__(self, steps: int) -> None:
        self.bytes = [0] * max(1, steps)
        self.alive: list[dict[str, int]] = [{} for _ in self.bytes]

    def add(self, tensor: str, residency: Residency) -> None:
        for stay in residency.stays:
            for k in range(stay.first, stay.last + 1):
                self.bytes[k] += stay.size_bytes
                self.alive[k][tensor] = self.alive[k].get(tensor, 0) + stay.size_bytes

    def remove(self, tensor: str, residency: Residency) -> None:
        for stay in residency.stays:
            for k in range(stay.first, stay.last + 1):
                self.bytes[k] -= stay.size_bytes
                self.alive[k].pop(tensor, None)

    def largest(self, position: int) -> list[str]:
        """The largest tensors at a position."""
        sizes = self.alive[position]
        return sorted((t for t, n in sizes.items() if n), key=lambda t: (-sizes[t], t))[:4]


def _missing(load: Sequence[int], room: int) -> int:
    """What is missing at the worst position of every stretch that does not fit, together."""
    total = before = 0
    for size in (*load, 0):
        over = max(0, size - room)
        total += before if not over else 0
        before = max(before, over) if over else 0
    return total
