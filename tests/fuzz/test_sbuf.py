"""What fits into some SBUF fits into more, and no plan on the way breaks a rule."""

from __future__ import annotations

import dataclasses
import itertools
import os

import pytest

import nkigen_cp as cp
from nkigen_cp.ir.tensor.graph import Graph
from tests.fuzz.generate import generate

EXAMPLES = int(os.environ.get("NKIGEN_CP_FUZZ_EXAMPLES", "0"))
FIRST = int(os.environ.get("NKIGEN_CP_FUZZ_SEED", "100000")) if EXAMPLES else 500_000
PROGRAMS = max(10, EXAMPLES // 20)

SHARES = (0.4, 0.7, 1.1, 1.7, 2.5, 4.0)
"""Of the largest tensor's bytes per partition."""

LEAST_BYTES = 600
"""Smaller tensors say nothing about loops."""


def _largest(graph: Graph) -> int:
    return max(t.size_bytes for t in graph.tensors.values()) // cp.TRN2.partitions


def _traced() -> list[tuple[int, Graph]]:
    """The first random programs that are large enough, by seed."""
    programs = ((seed, generate(seed)) for seed in itertools.count(FIRST))
    graphs = ((seed, cp.trace(p.function, *p.arrays)) for seed, p in programs)
    large = ((seed, g) for seed, g in graphs if _largest(g) >= LEAST_BYTES)
    return list(itertools.islice(large, PROGRAMS))


def _fits(graph: Graph, sbuf_bytes: int) -> bool:
    target = dataclasses.replace(cp.TRN2, sbuf_partition_bytes=sbuf_bytes)
    try:
        cp.solve(graph, target, effort="fast")
    except cp.Infeasible:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed_and_graph", _traced(), ids=lambda found: str(found[0]))
def test_feasible_stays_feasible(seed_and_graph: tuple[int, Graph]) -> None:
    _, graph = seed_and_graph
    sizes = [max(512, int(_largest(graph) * share)) for share in SHARES]
    fits = [_fits(graph, size) for size in dict.fromkeys(sizes)]
    assert fits == sorted(fits), f"with {sizes} B of SBUF: {fits}"
    assert fits[-1]
