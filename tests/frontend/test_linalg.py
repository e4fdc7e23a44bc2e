# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend import spec, trace

MATMULS = [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 1, 2, 3, 4), (1, 2, 2, 4, 1)),
    ((1, 1), (1, 1)),
    ((3, 0), (0, 2)),
]


@pytest.mark.parametrize(("first", "second"), MATMULS)
def test_matmul(agrees: Any, data: Any, first: Any, second: Any) -> None:
    graph = agrees(lambda x, y: x @ y, data(first), data(second))
    (op,) = graph.ops.values()
    assert op.kind == "contract"
    assert [axis.reduced for axis in op.axes].index(True) == len(op.axes) - 1


@pytest.mark.parametrize(
    ("first", "second"), [*MATMULS[:4], ((2, 3, 4), (5, 4, 6)), ((), (3,)), ((2, 3), ())]
)
def test_dot(agrees: Any, data: Any, first: Any, second: Any) -> None:
    agrees(np.dot, data(first), data(second))


def test_captured_operand_method_and_reflected(agrees: Any, data: Any) -> None:
    w = data((4, 4))
    graph = agrees(lambda x: (w @ x).dot(w) @ x.T, data((4, 4)))
    assert list(graph.constants) == ["w"]


def test_one_tensor_twice(agrees: Any, data: Any) -> None:
    agrees(lambda x: x @ x.T, data((3, 4)))


def test_integer_and_low_precision(agrees: Any, data: Any) -> None:
    agrees(lambda x, y: x @ y, data((3, 4), np.int32), data((4, 2), np.int32))
    low = "bfloat16"
    graph = trace(lambda x, y: x @ y, spec((3, 4), low), spec((4, 2), low))
    assert graph.outputs[0].dtype.name == low, "numpy would widen to float32"


@pytest.mark.parametrize(
    ("first", "second"), [((2, 3), (4, 5)), ((3,), (4,)), ((2, 3, 4), (3, 4, 5)), ((), (2,))]
)
def test_shapes_that_disagree_are_named(first: Any, second: Any) -> None:
    with pytest.raises(ShapeError) as raised:
        trace(lambda x, y: x @ y, spec(first), spec(second))
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, AssertionError)
    assert "test_linalg.py" in str(raised.value)
    assert "matmul" in str(raised.value)
