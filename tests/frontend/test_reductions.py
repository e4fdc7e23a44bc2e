# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nkigen_cp.errors import ShapeError, UnsupportedError
from nkigen_cp.frontend import spec, trace

AXES: list[Any] = [None, 0, -1, (0, 2), (-1, 1), ()]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("function", [np.sum, np.max, np.min, np.mean, np.amax, np.amin])
def test_reductions(agrees: Any, data: Any, function: Any, axis: Any, keepdims: bool) -> None:
    graph = agrees(lambda x: function(x, axis=axis, keepdims=keepdims) + 0, data((2, 3, 4)))
    for op in graph.ops.values():
        flags = [a.reduced for a in op.axes]
        assert flags == sorted(flags), "reduced axes come last"


def test_methods_and_ufunc_methods(agrees: Any, data: Any) -> None:
    def fn(x: Any) -> Any:
        return x.sum(0), x.mean(axis=1), x.max(), x.min(-1, keepdims=True), np.add.reduce(x)

    agrees(fn, data((3, 4)))


def test_zero_size(agrees: Any, data: Any) -> None:
    agrees(lambda x: (np.sum(x, axis=0), x * 2, np.sum(x)), data((0, 3)))
    with pytest.raises(ShapeError, match="zero-size"):
        trace(lambda x: np.max(x, axis=0), spec((0, 3)))


@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_axis_out_of_bounds(axis: Any) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        trace(lambda x: np.sum(x, axis=axis), spec((2, 3)))


def test_axis_given_twice_and_unknown_keywords() -> None:
    with pytest.raises(ShapeError, match="twice"):
        trace(lambda x: np.sum(x, axis=(0, 0)), spec((2, 3)))
    with pytest.raises(UnsupportedError, match=r"numpy.std .*where"):
        trace(lambda x: np.std(x, where=x > 0), spec((2, 3)))
    result = np.zeros(())
    with pytest.raises(UnsupportedError, match="out="):
        trace(lambda x: np.sum(x, out=result), spec((2, 3)))
