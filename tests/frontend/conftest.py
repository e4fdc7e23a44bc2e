from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.frontend import trace, unflatten
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.verify import verify_graph

Check = Callable[..., Graph]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(cast("dict[Any, Any]", value).values())
    if isinstance(value, (tuple, list)):
        return [leaf for item in cast("list[Any]", value) for leaf in _leaves(item)]
    return [value]


def _close(found: Any, expected: Any, tolerance: float) -> None:
    assert found.shape == expected.shape
    wide = np.asarray(expected, np.float64)
    np.testing.assert_allclose(np.asarray(found, np.float64), wide, rtol=tolerance, atol=tolerance)


@pytest.fixture
def agrees() -> Check:
    """Trace, verify, run in both precisions and compare with the function run by numpy."""

    def check(
        fn: Callable[..., Any],
        *args: Any,
        tolerance: float = 1e-5,
        **kwargs: Any,
    ) -> Graph:
        graph = trace(fn, *args, **kwargs)
        verify_graph(graph)
        inputs = graph.arguments.flatten(args, kwargs)
        expected = fn(*args, **kwargs)
        for precision in ("float64", "graph"):
            outputs = interpret(graph, inputs, precision=precision).outputs
            result = unflatten(graph.result, outputs)
            for found, want in zip(_leaves(result), _leaves(expected), strict=True):
                _close(found, want, tolerance)
        for tensor, want in zip(graph.outputs, _leaves(expected), strict=True):
            narrowed = {"float64": "float32", "int64": "int32"}
            assert tensor.dtype.name == narrowed.get(want.dtype.name, want.dtype.name)
        return graph

    return check


@pytest.fixture
def data() -> Callable[..., Any]:
    """Positive random arrays: ``data((2, 3), "bfloat16")``."""
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
        if np.dtype(kind).kind in "iu":
            return rng.integers(1, 9, shape).astype(kind)
        return np.asarray(rng.random(shape) + 0.5).astype(kind)

    return draw
