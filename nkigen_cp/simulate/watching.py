"""Watched buffers back in the user's shapes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Holding, Kernel
from nkigen_cp.simulate.run import Run

Array = Any  # numpy arrays of any dtype: numpy types their reshape only partly


def watchable(kernel: Kernel) -> tuple[str, ...]:
    """Tensors that some buffer holds whole, in the order in which buffers appear."""
    return tuple(dict.fromkeys(h.tensor for h in kernel.holdings.values()))


def values(kernel: Kernel, run: Run, names: Sequence[str]) -> dict[str, Array]:
    """Value of every watched tensor in the user's shape, from the first buffer that held it.

    Raises:
        ArgumentError: no buffer holds a tensor of that name; suggests the nearest.
    """
    found: dict[str, Array] = {}
    for name in names:
        held = [w for w in run.watched if w.tensor == name and w.buffer in kernel.holdings]
        if not held:
            near = difflib.get_close_matches(name, watchable(kernel), n=3)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise ArgumentError(f"watch: no buffer holds a tensor {name!r} whole{hint}")
        found[name] = unfold(held[0].value, kernel.holdings[held[0].buffer])
    return found


def unfold(value: Array, holding: Holding) -> Array:
    """A buffer (partitions, [chunks], free...) as the tensor it holds."""
    sizes = [holding.factors[k] for k in holding.free]
    if not holding.partition:
        one = value[:1].reshape(sizes or [1])
        order = list(holding.free)
        return _ordered(one, order, holding)
    outer = holding.factors[holding.partition[0]]
    inner = [holding.factors[k] for k in holding.partition[1:]]
    folded = value.reshape([holding.block, *inner, holding.chunks, *sizes])
    lead = len(inner) + 1
    chunks_first = np.moveaxis(folded, lead, 0)
    whole = chunks_first.reshape([holding.chunks * holding.block, *inner, *sizes])[:outer]
    return _ordered(whole, [*holding.partition, *holding.free], holding)


def _ordered(array: Array, order: list[int], holding: Holding) -> Array:
    if not order:
        return array.reshape(holding.shape)
    return array.transpose(np.argsort(order)).reshape(holding.shape)
