"""Where dims are cut, and which ops no cut can serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.cuts import Cuts, find_cuts
from nkigen_cp.ir.tensor.graph import Graph


def _graph(fn: Callable[..., Any], *shapes: tuple[int, ...]) -> Graph:
    return cp.trace(fn, *(cp.spec(s, "float32") for s in shapes))


def test_cuts_are_ascending_factor_boundaries() -> None:
    cuts = Cuts(at={("tensor", "x", 0): (4, 8)}, opaque=())
    assert cuts.factors(("tensor", "x", 0), 32) == (4, 2, 4)
    assert cuts.factors(("tensor", "x", 1), 32) == (32,)
    assert cuts.factors(("tensor", "x", 2), 1) == ()


def test_a_cut_travels_to_every_tensor_along_the_axis() -> None:
    def fn(x: Any, y: Any) -> Any:
        return np.reshape(np.exp(x) + y, (8, 4, 16))

    cuts = find_cuts(_graph(fn, (8, 64), (64,)))
    assert cuts.opaque == ()
    assert cuts.at["tensor", "x", 1] == (16,)
    assert cuts.at["tensor", "y", 0] == (16,)


def test_a_contraction_passes_cuts_from_one_operand_to_the_other() -> None:
    def fn(x: Any, w: Any) -> Any:
        heads = np.transpose(np.reshape(x, (8, 4, 16)), (1, 0, 2))
        return np.reshape(np.transpose(heads, (1, 0, 2)), (8, 64)) @ w

    cuts = find_cuts(_graph(fn, (8, 64), (64, 32)))
    assert cuts.at["tensor", "w", 0] == (16,)
    assert cuts.at["tensor", "w", 1] == ()


def test_an_unsplit_program_has_no_cuts() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, 3:9])

    cuts = find_cuts(_graph(fn, (8, 64)))
    assert not any(cuts.at.values())
    assert cuts.opaque == ()


@pytest.mark.parametrize(("first", "second"), [((3, 4), (4, 3)), ((2, 6), (3, 4))])
def test_only_the_later_of_two_conflicting_reshapes_is_opaque(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    def fn(x: Any) -> Any:
        return np.exp(np.reshape(x, (8, *first))), np.exp(np.reshape(x, (8, *second)))

    graph = _graph(fn, (8, 12))
    (opaque,) = find_cuts(graph).opaque
    written = graph.ops[opaque].outputs[0].tensor
    assert graph.tensors[written].shape == (8, *second)


def test_compatible_reshapes_refine_each_other() -> None:
    def fn(x: Any) -> Any:
        return np.exp(np.reshape(x, (8, 3, 4))), np.exp(np.reshape(x, (8, 6, 2)))

    cuts = find_cuts(_graph(fn, (8, 12)))
    assert cuts.opaque == ()
    assert cuts.factors(("tensor", "x", 1), 12) == (3, 2, 2)
