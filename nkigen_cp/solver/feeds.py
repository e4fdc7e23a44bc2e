"""What comes from HBM for a nest: as far as other loops do not bring it, it is there beforehand."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.homes import nest_of

Feeds = Mapping[str, tuple[str, ...]]
"""Per nest, the tensors that its ops read and no op makes."""


def feeds_of(program: Program) -> Feeds:
    """The feeds of all nests that ops run in."""
    found: dict[str, dict[str, None]] = {}
    for op in program.ops.values():
        if op.path:
            given = (a.tensor for a in op.accesses if not program.producers(a.tensor))
            found.setdefault(nest_of(op.path), {}).update(dict.fromkeys(given))
    return {nest: tuple(tensors) for nest, tensors in found.items()}


def behind(feeds: Feeds, nest: str) -> list[str]:
    """The nests that read all that the nest reads, itself included: none of them starts before."""
    return [n for n, tensors in feeds.items() if set(feeds[nest]) <= set(tensors)]
