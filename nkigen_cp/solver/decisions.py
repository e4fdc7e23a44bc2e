"""What was decided, apart from any model: the common currency of greedy, solver and assembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.solver.plan.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Indices of executed candidates and, per tensor, of moves; what is spilled and visited."""

    chosen: tuple[int, ...]
    moved: Mapping[str, tuple[int, ...]]
    kept: Mapping[str, tuple[Layout, ...]]
    passed: Mapping[str, tuple[Layout, ...]]
    spilled: Mapping[str, tuple[Layout, ...]]
    visiting: tuple[tuple[str, Layout, str], ...]
    reused: tuple[int, ...] = ()
