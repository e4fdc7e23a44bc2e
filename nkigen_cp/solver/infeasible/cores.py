"""Minimal cores over several structures of loops: what contradicts itself in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from nkigen_cp.solver.infeasible.feasibility import Feasibility

MOST_CORES = 3
"""Conflicts reported of one request."""


def minimal_cores(models: Sequence[Feasibility]) -> list[tuple[str, ...]]:
    """Sets of members none of the models can satisfy, each of which loses that with any member.

    Further ones are looked for by letting go of one member of a core after the other.
    """
    members = tuple(dict.fromkeys(m for model in models for m in model.members))
    found: list[tuple[str, ...]] = []
    waiting = [members]
    while waiting and len(found) < MOST_CORES:
        left = waiting.pop(0)
        core = _minimal(models, left)
        if core is None or core in found:
            continue
        found.append(core)
        waiting += [tuple(m for m in left if m != gone) for gone in core]
    return found


def _minimal(models: Sequence[Feasibility], members: Sequence[str]) -> tuple[str, ...] | None:
    """A minimal core among the members; None if some model satisfies all of them."""
    core = _core(models, members)
    if core is None:
        return None
    for member in core:
        rest = tuple(m for m in core if m != member)
        smaller = _core(models, rest) if member in core else None
        core = smaller if smaller is not None else core
    # Presolve of 9.15 has reported feasible models as infeasible: ask again without it.
    sure = all(model.core(core, presolve=False) is not None for model in models)
    return core if sure else None


def _core(models: Sequence[Feasibility], members: Sequence[str]) -> tuple[str, ...] | None:
    """Members that none of the models can satisfy together, or None."""
    found: list[str] = []
    for model in models:
        core = model.core(members)
        if core is None:
            return None
        found += core
    return tuple(m for m in members if m in found)
