"""Pins: what a user demands of a plan, as frozen values in the user's names.

A pin names a tensor (or the op that writes it) and says how it has to lie, where it has to live, or
what has to compute it. Pins are part of a plan's options: they are saved and checked with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nkigen_cp.errors import ArgumentError

Value = str | int | tuple[str | int, ...]

RESIDENCIES = ("resident", "stream", "spill", "fused")
ENGINES = ("tensor", "vector", "scalar", "gpsimd", "dma")
_ALIASES: Mapping[str, str] = {"streamed": "stream", "spilled": "spill"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Demands of one tensor; None asks for nothing.

    ``partition`` names the axes that lie on the partitions, as ``explain()`` prints them or by
    number, and ``tile`` how many partitions they take: where an op writes the tensor, and for
    inputs where ops read it. ``engine``, ``instruction`` and ``stationary`` (an operand's name,
    "lhs" or "rhs") are those of the op that writes it. ``residency`` is one of

    - "resident": in SBUF from its birth (or its one load) to its last use;
    - "stream": an input that every op or iteration loads for itself;
    - "spill": stored to HBM when computed and loaded from there by whoever reads it;
    - "fused": never whole anywhere: a tile in a loop at a time, or inside of one instruction.
    """

    tensor: str
    partition: tuple[str | int, ...] | None = None
    tile: int | None = None
    residency: str | None = None
    engine: str | None = None
    instruction: str | None = None
    stationary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuse:
    """Two tensors computed together: by one instruction, or in the same innermost loop."""

    first: str
    second: str


AnyPin = Pin | Fuse

KINDS = ("partition", "tile", "residency", "engine", "instruction", "stationary")
FUSE = "fuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One thing that a pin asks for; of a ``fuse`` the value is the second tensor."""

    tensor: str
    kind: str
    value: Value

    def __str__(self) -> str:
        if self.kind == FUSE:
            return f"fuse({self.tensor}, {self.value})"
        shown = self.value if isinstance(self.value, tuple) else (self.value,)
        return f"{self.tensor}.{self.kind}={','.join(map(str, shown))}"

    @property
    def pin(self) -> AnyPin:
        """The pin that asks for this alone."""
        if self.kind == FUSE:
            return Fuse(first=self.tensor, second=str(self.value))
        fields: dict[str, Any] = {self.kind: self.value}
        return Pin(tensor=self.tensor, **fields)


def demands(pins: Iterable[AnyPin]) -> tuple[Demand, ...]:
    """What the pins ask for, each thing once."""
    return tuple(dict.fromkeys(d for p in pins for d in _demands(p)))


def _demands(one: AnyPin) -> Iterator[Demand]:
    if isinstance(one, Fuse):
        yield Demand(tensor=one.first, kind=FUSE, value=one.second)
        return
    for kind in KINDS:
        value: Value | None = getattr(one, kind)
        if value is not None:
            yield Demand(tensor=one.tensor, kind=kind, value=value)


def pin(  # noqa: PLR0913 - one keyword per thing that can be asked for
    tensor: str,
    *,
    partition: str | int | tuple[str | int, ...] | None = None,
    tile: int | None = None,
    residency: str | None = None,
    engine: str | None = None,
    instruction: str | None = None,
    stationary: str | None = None,
) -> Pin:
    """Ask of ``solve`` how a tensor lies, where it lives or what computes it (see ``Pin``).

    Raises:
        ArgumentError: nothing is asked for, or a value is none of those allowed.
    """
    axes = (partition,) if isinstance(partition, (str, int)) else partition
    found = Pin(
        tensor=tensor,
        partition=axes,
        tile=tile,
        residency=_ALIASES.get(residency, residency) if residency else residency,
        engine=engine,
        instruction=instruction,
        stationary=stationary,
    )
    if all(getattr(found, kind) is None for kind in KINDS):
        raise ArgumentError(f"pin({tensor!r}) asks for nothing; give one of {', '.join(KINDS)}")
    if found.partition == ():
        raise ArgumentError(f"pin({tensor!r}, partition=()) names no axis; name at least one")
    if tile is not None and tile < 1:
        raise ArgumentError(f"pin({tensor!r}, tile={tile}) must be at least 1 partition")
    for kind, allowed in (("residency", RESIDENCIES), ("engine", ENGINES)):
        value: str | None = getattr(found, kind)
        if value is not None and value not in allowed:
            raise ArgumentError(
                f"pin({tensor!r}, {kind}={value!r}): allowed is {', '.join(allowed)}"
            )
    return found


def fuse(first: str, second: str) -> Fuse:
    """Ask of ``solve`` that two tensors are computed together (see ``Fuse``)."""
    if first == second:
        raise ArgumentError(f"fuse({first!r}, {second!r}) names one tensor twice; name two")
    return Fuse(first=first, second=second)
