"""What was decided, apart from any model: the common currency of greedy, solver and assembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import load_ns


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


def busy_of(instance: Instance, decisions: Decisions) -> dict[str, int]:
    """Busy nanoseconds per engine."""
    total: dict[str, int] = {e: 0 for e in ENGINES}  # noqa: C420 - keys are plain str
    parts = [instance.candidates[i].busy_ns for i in decisions.chosen]
    for name, indices in decisions.moved.items():
        parts += [instance.choices[name].moves[j].busy_ns for j in indices]
    for name, layouts in decisions.spilled.items():
        parts += [{"dma": instance.choices[name].spills[x]} for x in layouts]
    for name, x, _ in decisions.visiting:
        parts.append({"dma": load_ns(instance.choices[name], x)})
    for part in parts:
        for engine, ns in part.items():
            total[engine] += ns
    return total


def scaled_objective(busy: Mapping[str, int]) -> int:
    """The objective in the model's unit of 1/8 ns."""
    return SERIAL_SHARE * max(busy.values()) + sum(busy.values())
