"""Engine times to choose from, and the digits that may lie on the partitions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from nkigen_cp.ir.factor.program import FactorTensor
from nkigen_cp.solver.check.price import ENGINES
from nkigen_cp.solver.plan import Layout, Run
from nkigen_cp.targets import Target

ENDS_NS = 2600
"""A first and a last DMA latency of 1,300 ns."""

Busy = tuple[int, ...]
Front = tuple[Busy, ...]

NOTHING: Front = ((0,) * len(ENGINES),)


def pareto(times: Sequence[Busy]) -> Front:
    """Engine times that no other beats on every engine."""
    kept: list[Busy] = []
    for t in sorted(set(times)):
        if not any(all(a <= b for a, b in zip(k, t, strict=True)) for k in kept):
            kept.append(t)
    return tuple(kept)


def added(a: Front, b: Front) -> Front:
    """All sums of two sets of engine times."""
    return pareto([tuple(x + y for x, y in zip(s, t, strict=True)) for s in a for t in b])


def objective(front: Front) -> int:
    """The least of: the busiest engine, and an eighth of what all others do; then both ends."""
    return min(((7 * max(b) + sum(b)) // 8 for b in front), default=10**12) + ENDS_NS


def runs(sizes: Mapping[str, int], partitions: int) -> list[Run]:
    """Neighbouring digits on the partitions, the outermost in blocks of at least 2; or none."""
    names = list(sizes)
    found: list[Run] = []
    for i, j in itertools.combinations(range(len(names) + 1), 2):
        inner = math.prod(sizes[n] for n in names[i + 1 : j])
        block = min(sizes[names[i]], partitions // inner)
        if block > 1:
            found.append(Run(digits=tuple(names[i:j]), block=block, partitions=block * inner))
    return [*found, Run()]


def natural(tensor: FactorTensor, target: Target) -> list[Layout]:
    """Every run of a tensor's own factors on the partitions, and the row."""
    sizes = {f.name: f.size for f in tensor.factors}
    return [Layout(partition=r.digits, block=r.block) for r in runs(sizes, target.partitions)]
