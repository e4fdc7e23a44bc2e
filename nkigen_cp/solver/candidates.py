"""What the solver chooses among: candidates for ops, moves between forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.factor.program import Factor, Program
from nkigen_cp.solver.plan import Spec, Tiled
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.targets.target import Target

ENGINES = ("tensor", "vector", "scalar", "gpsimd", "dma")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A tensor in a layout; ``slot`` is the parameter it feeds or comes from. None: in HBM."""

    slot: str
    tensor: str
    layout: Layout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to execute a set of ops as one step, at the position of its last op.

    ``busy_ns`` is of one iteration of the loops ``path`` until the instance multiplies it.
    """

    ops: tuple[str, ...]
    spec: Spec
    needs: tuple[Need, ...]
    makes: tuple[Need, ...]
    busy_ns: Mapping[str, int]
    sbuf_bytes: int = 0
    psum_banks: int = 0
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One way to obtain a tensor in a layout from another form of it (None: from HBM)."""

    tensor: str
    source: Layout | None
    target: Layout
    spec: Spec
    busy_ns: Mapping[str, int]
    sbuf_bytes: int = 0
    psum_banks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A whole form to or from HBM: the loops over its DMAs, and their time."""

    loops: tuple[Tiled, ...]
    dma_ns: float


Alike = tuple[tuple[Factor, ...], DType, Layout, tuple[str, ...]]
"""Factors, type, layout and walked digits of a form: all that its passage depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What candidate generation needs to know.

    ``passages`` remembers those that were priced, as many tensors are alike.
    """

    program: Program
    target: Target
    in_hbm: frozenset[str] = field(default_factory=frozenset[str])  # inputs and bound constants
    tiles: tuple[int, ...] = ()  # partitions that pins want tiles to span
    passages: dict[Alike, Passage] = field(default_factory=dict[Alike, Passage], compare=False)


def repeated(busy_ns: Mapping[str, int], trips: int) -> dict[str, int]:
    """The busy time of all iterations of a nest."""
    return {engine: ns * trips for engine, ns in busy_ns.items()}


def rounded(busy: Mapping[str, float]) -> dict[str, int]:
    """Engine times in whole nanoseconds, engines in canonical order, zeros dropped."""
    return {e: round(busy[e]) for e in ENGINES if busy.get(e, 0) > 0}
