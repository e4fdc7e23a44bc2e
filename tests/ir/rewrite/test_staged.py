"""Reductions to a single value run in two stages; those that leave a vector stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.interpret import interpret


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_full_reductions_are_staged(name: str, keepdims: bool) -> None:
    def full(x: Any) -> Any:
        return getattr(np, name)(x, axis=None, keepdims=keepdims)

    graph = cp.trace(full, cp.spec((3, 129, 40)))
    core = canonicalise(graph)
    reductions = [o for o in core.ops.values() if any(a.reduced for a in o.axes)]
    assert len(reductions) == 2
    assert {a.size for a in reductions[1].axes if a.reduced} == {129}
    x = np.random.default_rng(0).standard_normal((3, 129, 40))
    want = interpret(graph, [x]).outputs[0]
    assert np.allclose(interpret(core, [x]).outputs[0], want, rtol=1e-12)


def test_reductions_that_leave_an_axis_stay_whole() -> None:
    def partial(x: Any) -> Any:
        return np.sum(x, axis=(0, 2))

    core = canonicalise(cp.trace(partial, cp.spec((3, 129, 40))))
    assert [o.kind for o in core.ops.values()] == ["sum"]


def test_windows_of_a_projection_become_contractions_of_their_own() -> None:
    def heads(x: Any, w: Any) -> Any:
        fused = x @ w
        return np.exp(fused[:, :1024]), np.tanh(fused[:, 1024:])

    graph = cp.trace(heads, cp.spec((64, 96)), cp.spec((96, 1536)))
    core = canonicalise(graph)
    widths = [core.tensors[o.outputs[0].tensor].shape for o in core.ops.values()]
    assert [o.kind for o in core.ops.values()].count("contract") == 2
    assert widths.count((64, 1024)) == 2
    assert widths.count((64, 512)) == 2
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((64, 96)), rng.standard_normal((96, 1536))]
    for got, want in zip(
        interpret(core, arrays).outputs, interpret(graph, arrays).outputs, strict=True
    ):
        assert np.allclose(got, want, rtol=1e-12)


def test_narrow_windows_stay_one_contraction() -> None:
    def halves(x: Any, w: Any) -> Any:
        fused = x @ w
        return np.exp(fused[:, :64]), np.tanh(fused[:, 64:])

    core = canonicalise(cp.trace(halves, cp.spec((64, 96)), cp.spec((96, 128))))
    assert [o.kind for o in core.ops.values()].count("contract") == 1
