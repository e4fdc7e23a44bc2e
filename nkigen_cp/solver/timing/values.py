"""Rows of differences over literals of the decisions, and the two figures they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.targets.target import Target

COMPUTE = ("tensor", "vector", "scalar", "gpsimd")

WHOLE = ""
"""The level of the whole plan; other levels are single iterations of a loop, by its name."""

Node = tuple[str, ...]
"""A point in time: the level it is told in, its kind, and names."""

END: Node = (WHOLE, "end")

WORK_SHARE = 128
"""One part in so many of all work adds to the time, to decide between plans that take equally long.

The only constant that was chosen by looking at figures, from 8, 16, 32, 64 and 128: whichever of
eleven workloads is left out, 128 suits the best plans of the others best: beyond the rows, work
tells next to nothing. ``python -m benchmarks.objective`` prints it. The rest is the target's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A fact of the decisions, named as the model's variable of this ``kind`` is.

    ``indices`` are of candidates ("chosen"; "any" of several, of which at most one is executed) or
    of the tensor's move ("moved").
    """

    kind: str
    indices: tuple[int, ...] = ()
    tensor: str = ""
    form: Layout | None = None
    op: str = ""
    negated: bool = False


def chosen(k: int) -> Literal:
    """Candidate ``k`` is executed."""
    return Literal(kind="chosen", indices=(k,))


def any_of(indices: Sequence[int]) -> Literal:
    """One of these candidates, which exclude each other, is executed."""
    return chosen(indices[0]) if len(indices) == 1 else Literal(kind="any", indices=tuple(indices))


def moved(tensor: str, j: int) -> Literal:
    """Move ``j`` of the tensor is made."""
    return Literal(kind="moved", tensor=tensor, indices=(j,))


def held(kind: str, tensor: str, form: Layout) -> Literal:
    """The form is "kept" or "spilled"."""
    return Literal(kind=kind, tensor=tensor, form=form)


def visiting(tensor: str, form: Layout, op: str) -> Literal:
    """The op loads a copy of its own."""
    return Literal(kind="visiting", tensor=tensor, form=form, op=op)


def absent(literal: Literal) -> Literal:
    """The opposite."""
    return replace(literal, negated=True)


Terms = tuple[tuple[int, Literal], ...]

Periods = tuple[tuple[int, str], ...]
"""How many periods of which loops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``target >= source + ns + sum(weight * literal) + sum(count * period)`` if all of ``when``.

    Without a source it is told from time 0.
    """

    target: Node
    source: Node | None = None
    ns: int = 0
    terms: Terms = ()
    periods: Periods = ()
    when: tuple[Literal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All rows: ``levels`` by loop, inner loops first, and last those of the whole.

    ``floors`` are per loop what each engine is busy in one iteration; its period is no less.
    """

    levels: Mapping[str, tuple[Row, ...]]
    floors: Mapping[str, tuple[Row, ...]]


def handoff_ns(target: Target) -> int:
    """From the end of a step to the start of one that reads its result.

    The mean over all pairs of compute engines: drain and semaphore between two, the gap within one.
    """
    facts = [target.engines[e] for e in COMPUTE]
    waits = [
        a.gap_ns if a is b else a.write_drain_ns + b.sem_to_start_ns for a in facts for b in facts
    ]
    return round(sum(waits) / len(waits))


def latency_ns(target: Target) -> int:
    """From the issue of a transfer to its first byte."""
    return round(target.dma.latency_ns)


def duration_ns(target: Target, busy: Mapping[str, int]) -> int:
    """From the start of one execution of a step to its end."""
    longest = max(busy.values(), default=0)
    if "dma" in busy:
        longest += latency_ns(target)
    if "tensor" in busy and len(busy) > 1:
        # The last tile leaves PSUM after the Tensor engine is done.
        longest = max(longest, busy["tensor"] + handoff_ns(target))
    return longest
