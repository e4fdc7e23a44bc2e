"""Access patterns of the instructions that count along a tile: iota and affine_select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nkigen_cp.ir.factor.program import FactorTensor
from nkigen_cp.solver.plan.layout import Layout, geometry


def affine_pattern(
    tensor: FactorTensor, layout: Layout, weights: Mapping[str, int], chunks: int
) -> tuple[tuple[int, int], ...]:
    """(step, count) pairs over the free dims of ``chunks`` whole chunks, the innermost last.

    ``weights`` is what one position of a factor counts for.
    """
    outer = weights.get(layout.partition[0], 0) * layout.block if layout.partition else 0
    pairs = [(outer, chunks)] if chunks > 1 else []
    pairs += [(weights.get(f.name, 0), f.size) for f in geometry(tensor, layout).free]
    return joined(pairs) or ((0, 1),)


def joined(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """(step, count) pairs, neighbours that count on in the same steps made one."""
    found: list[tuple[int, int]] = []
    for step, count in pairs:
        if found and found[-1][0] == step * count:
            found[-1] = (step, found[-1][1] * count)
        else:
            found.append((step, count))
    return tuple(found)
