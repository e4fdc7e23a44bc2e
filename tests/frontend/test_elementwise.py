# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import ArgumentError, ShapeError, UnsupportedError
from nkigen_cp.frontend import ops, spec, trace
from nkigen_cp.frontend.elementwise import KINDS
from nkigen_cp.ir.tensor.graph import DimIndex, Immediate
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.ir.tensor.verify import verify_graph

UNARY = [u for u, kind in KINDS.items() if OPS[kind].arity == 1]
BINARY = [u for u, kind in KINDS.items() if OPS[kind].arity == 2]


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda u: u.__name__)
def test_unary(agrees: Any, data: Any, ufunc: Any) -> None:
    graph = agrees(ufunc, data((3, 4)) - np.float32(0.5))
    assert [op.kind for op in graph.ops.values()] == [KINDS[ufunc]]


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (3,)), ((1,), (1,))]
)
@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_binary_broadcasts(agrees: Any, data: Any, ufunc: Any, shapes: Any) -> None:
    agrees(ufunc, *(data(s) for s in shapes))


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_binary_takes_scalars_on_both_sides(agrees: Any, data: Any, ufunc: Any) -> None:
    graph = agrees(lambda x: ufunc(3, ufunc(x, 0.5)), data((3, 4)))
    immediates = [i for op in graph.ops.values() for i in op.inputs if isinstance(i, Immediate)]
    assert immediates == [Immediate(value=0.5), Immediate(value=3)]


def test_operators_and_reflected_operators(agrees: Any, data: Any) -> None:
    captured = data((4,))

    def fn(x: Any, y: Any) -> Any:
        z = 2 - x * 3 + y / x - (1 / y)
        z += captured * z + z * captured
        return abs(-z) ** 2 + (+z)

    agrees(fn, data((3, 4)), data((3, 4)))


@pytest.mark.parametrize("exponent", [-1, -0.5, 0, 0.5, 1, 2, 3, 4, 11, 2.5])
def test_powers(agrees: Any, data: Any, exponent: float) -> None:
    agrees(lambda x: x**exponent, data((3,)))


def test_integers_stay_integers(agrees: Any, data: Any) -> None:
    agrees(lambda x: (-x, abs(x - 5), np.square(x), x**3, x * 2), data((5,), np.int32))


def test_large_integers_are_exact() -> None:
    x = np.array([2**24 + 1, 2**30 + 1], np.int32)
    (out,) = interpret(trace(lambda x: x + 2, x), [x]).outputs
    assert out.tolist() == [2**24 + 3, 2**30 + 3]


def test_broadcast_dims_use_no_axis() -> None:
    graph = trace(lambda x, y: x + y, spec((2, 3)), spec((1,)))
    (op,) = graph.ops.values()
    assert [axis.size for axis in op.axes] == [2, 3]
    assert op.operands[1].index == (DimIndex(),)


DTYPES = [
    (lambda x, y: x * y, "bfloat16", "float32", "float32"),
    (lambda x, y: x * y, "bfloat16", "bfloat16", "bfloat16"),
    (lambda x, y: x * y, "bfloat16", "float16", "float32"),
    (lambda x, y: x * y, "bfloat16", "int32", "float32"),
    (lambda x, y: x + y, "int8", "int32", "int32"),
    (lambda x, y: x / y, "int32", "int32", "float32"),
    (lambda x, y: x @ y, "bfloat16", "bfloat16", "bfloat16"),
    (lambda x, y: x * 2.5 + y * 2, "bfloat16", "bfloat16", "bfloat16"),
    (lambda x, y: x / np.sqrt(128) + y, "bfloat16", "bfloat16", "bfloat16"),
    (lambda x, y: x * np.float32(2) + y, "bfloat16", "bfloat16", "float32"),
    (lambda x, y: x * np.ones((1, 1), np.float32) + y, "bfloat16", "bfloat16", "float32"),
    (lambda x, y: x * 2.5 + y, "int32", "int32", "float32"),
    (lambda x, y: x + np.int64(3) + y, "int8", "int8", "int8"),
    (lambda x, y: np.add(x, y, dtype=np.float32), "bfloat16", "bfloat16", "float32"),
    (lambda x, y: np.sum(x, dtype=np.float32) + y, "bfloat16", "bfloat16", "float32"),
    (lambda x, y: np.sum(x) + y, "bfloat16", "bfloat16", "bfloat16"),
    (lambda x, y: np.mean(x) + y, "int32", "int32", "float32"),
    (lambda x, y: np.sum(x) + y, "int8", "int8", "int32"),
]


@pytest.mark.parametrize(("fn", "first", "second", "expected"), DTYPES)
def test_dtype_rules(fn: Any, first: str, second: str, expected: str) -> None:
    graph = trace(fn, spec((2, 2), first), spec((2, 2), second))
    verify_graph(graph)
    assert graph.outputs[0].dtype.name == expected


def test_captured_arrays() -> None:
    table = np.arange(3, dtype=np.float64)
    one = np.array([[2.0]], np.float32)

    def fn(x: Any) -> Any:
        return x * table + table - one + np.arange(3, dtype=np.float32)

    graph = trace(fn, spec((3,)))
    assert {name: array.dtype.name for name, array in graph.constants.items()} == {
        "table": "float32",
        "const_1": "float32",
    }
    assert graph.outputs[0].shape == (1, 3)
    assert graph.ops["subtract_1"].inputs[1] == Immediate(value=2.0)


def test_a_captured_array_that_changes_is_captured_again(agrees: Any, data: Any) -> None:
    def fn(x: Any) -> Any:
        bias = np.zeros(3, np.float32)
        y = x + bias
        bias[1] = 5
        return y + bias

    assert len(agrees(fn, data((3,))).constants) == 2


def test_wide_captured_integers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="int32's range"):
        trace(lambda x: x + np.array([2**40, 1]), spec((2,), "int32"))


@pytest.mark.parametrize(
    "name",
    "relu sigmoid silu gelu erf softplus mish rsqrt softmax log_softmax".split(),
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ops_on_traced_tensors_and_on_numpy(agrees: Any, data: Any, name: str, dtype: str) -> None:
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    x = data((3, 4), dtype) - (0 if name == "rsqrt" else 1)
    agrees(getattr(ops, name), x, tolerance=tolerance)


def test_gelu_by_tanh(agrees: Any, data: Any) -> None:
    graph = agrees(lambda x: ops.gelu(x, approximate=True), data((3, 4)))
    assert [op.kind for op in graph.ops.values()] == ["gelu_tanh"]


def test_rms_norm(agrees: Any, data: Any) -> None:
    graph = agrees(ops.rms_norm, data((3, 8), "bfloat16"), data((8,), "bfloat16"), tolerance=2e-2)
    assert graph.outputs[0].dtype.numpy == ml_dtypes.bfloat16


@pytest.mark.parametrize("biased", [True, False])
def test_layer_norm(agrees: Any, data: Any, *, biased: bool) -> None:
    more = [data((8,), "bfloat16")] * biased
    x, weight = data((3, 8), "bfloat16"), data((8,), "bfloat16")
    graph = agrees(ops.layer_norm, x, weight, *more, tolerance=4e-2)
    assert graph.outputs[0].dtype.numpy == ml_dtypes.bfloat16


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ShapeError, match=r"add: shapes \(2, 3\) and \(4,\) do not broadcast"):
        trace(lambda x, y: x + y, spec((2, 3)), spec((4,)))


def test_negative_powers_of_integers_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"exponent -2 is no integer; cast"):
        trace(lambda x: x**-2, spec((2,), "int32"))


@pytest.mark.parametrize("value", ["a", None, 1j, object()])
def test_values_that_are_no_numbers_are_refused(value: Any) -> None:
    with pytest.raises(UnsupportedError, match="cannot be combined"):
        trace(lambda x: x + value, spec((2,)))
