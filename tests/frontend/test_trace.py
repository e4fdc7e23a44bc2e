# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import ArgumentError, TraceError
from nkigen_cp.frontend import name, spec, trace, trace_full, unflatten


class Weights(NamedTuple):
    gate: Any
    up: Any


def test_inputs_come_in_parameter_order_with_labels(agrees: Any, data: Any) -> None:
    def fn(x: Any, params: Any, *rest: Any, scale: float = 2.0, bias: Any, **more: Any) -> Any:
        pair, named = params["w"], params["n"]
        y = (x + pair[0] * pair[1]) * scale + bias
        return y + rest[0] + more["extra"] + named.gate * named.up

    one = [data((2,)) for _ in range(8)]
    params = {"w": [one[1], one[2]], "n": Weights(gate=one[3], up=one[4])}
    graph = agrees(fn, one[0], params, one[5], extra=one[7], bias=one[6])
    assert graph.input_names == (
        "x",
        "params_w_0",
        "params_w_1",
        "params_n_0",
        "params_n_1",
        "rest_0",
        "bias",
        "more_extra",
    )


def test_results_keep_their_structure(agrees: Any, data: Any) -> None:
    def fn(x: Any, flag: bool) -> Any:
        y = x * 2
        return {"a": (y, [x, y]), "n": Weights(gate=y, up=None), "flag": flag}

    x = data((2,))
    traced = trace_full(fn, x, True)
    assert traced.result is traced.graph.result
    assert len(set(traced.graph.output_names)) == 4
    assert not set(traced.graph.output_names) & set(traced.graph.input_names)
    result = unflatten(traced.result, ["y", "x", "y2", "y3"])
    assert result == {"a": ("y", ["x", "y2"]), "n": Weights(gate="y3", up=None), "flag": True}
    assert isinstance(result["n"], Weights)


def test_calls_must_fit_the_trace(data: Any) -> None:
    x = data((2,))
    graph = trace(lambda x, n, w=(1, 2): x[0] * n, [x], 3)
    assert graph.arguments.flatten(([x], 3), {})[0] is x
    assert graph.arguments.flatten((), {"n": 3, "x": [x]})[0] is x
    for args in [([x], 4), ([x, x], 3), (x, 3), ([x],), ([x], 3, (1, 3))]:
        with pytest.raises(ArgumentError):
            graph.arguments.flatten(args, {})


def test_defaults_that_are_arrays_are_constants() -> None:
    table = np.arange(3, dtype=np.float32)

    def fn(x: Any, w: Any = table) -> Any:
        return x + w

    graph = trace(fn, spec((3,)))
    assert list(graph.constants) == ["w"]
    assert graph.input_names == ("x",)


def test_specs_carry_axis_names() -> None:
    def fn(x: Any, w: Any) -> Any:
        heads = x.reshape(6, 2, 4).transpose(1, 0, 2)
        scores = heads @ heads.transpose(0, 2, 1)
        return scores, np.sum(x @ w, axis=-1, keepdims=True), x[:, :2]

    graph = trace(fn, spec((6, 8), "bf16", ("s", "h")), spec((8, 5), "bfloat16", axes=("h", "f")))
    tensors = graph.tensors
    assert tensors["heads"].axes == ("d0", "s", "d2")
    assert tensors["scores"].axes == ("d0", "s", "s_2")
    assert graph.outputs[1].axes == ("s", "d1")
    assert graph.outputs[2].axes == ("s", "d1")
    contract = next(
        op for op in graph.ops.values() if op.kind == "contract" and op.operands[1].tensor == "w"
    )
    assert [a.name for a in contract.axes] == ["s", "f", "h"]
    assert all(len({a.name for a in op.axes}) == len(op.axes) for op in graph.ops.values())


@pytest.mark.parametrize(("shape", "axes"), [((2, 3), ("a",)), ((2, 3), ("a", "a")), ((-1,), None)])
def test_wrong_specs_are_refused(shape: Any, axes: Any) -> None:
    with pytest.raises(ArgumentError):
        spec(shape, "float32", axes)


def test_64_bit_inputs_narrow_with_one_warning() -> None:
    with pytest.warns(UserWarning, match="64-bit") as caught:
        graph = trace(
            lambda x, y, z: x + y + z.astype(np.float64), np.ones(3), spec(3, "int64"), spec(3)
        )
    assert len(caught) == 1
    assert [t.dtype.name for t in graph.inputs] == ["float32", "int32", "float32"]


def test_attributes_of_traced_tensors() -> None:
    def fn(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3), 2, 6, 2)
        assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
        assert x.dtype == ml_dtypes.bfloat16
        assert "(2, 3)" in repr(x)
        assert len({x, x}) == 1
        return x.T

    trace(fn, spec((2, 3), "bfloat16"))


def test_dead_ops_are_dropped() -> None:
    def fn(x: Any) -> Any:
        np.exp(x)
        return x + 1

    assert [op.kind for op in trace(fn, spec((2,))).ops.values()] == ["add"]


def test_trace_is_deterministic() -> None:
    def fn(x: Any) -> Any:
        for _ in range(3):
            x = np.exp(x - np.max(x)) * np.arange(2, dtype=np.float32)
        return x

    first, second = trace(fn, spec((2,))), trace(fn, spec((2,)))
    assert list(first.ops.values()) == list(second.ops.values())
    assert first.tensors == second.tensors


def _truth(x: Any) -> Any:
    return x if x else -x


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (_truth, TraceError, "truth value"),
    (lambda x: float(x[0]), TraceError, "float"),
    (lambda x: [0, 1][x], TraceError, "index"),
    (lambda x: np.stack([1, 2])[x], TraceError, "numpy array|index"),
    (lambda x: np.frexp(x)[0] + 1, TypeError, "numpy.frexp"),
    (lambda x: np.linalg.det(x) + 1, TypeError, "numpy.det"),
    (lambda x: np.nextafter(x, 0), TypeError, "numpy.nextafter"),
    (lambda x: np.gcd(x, 2), TypeError, "numpy.gcd.*nearest"),
    (lambda x: np.nanargmax(x) + 1, TypeError, "nearest.*max"),
    (lambda x: np.add.reduceat(x, [0, 1]) + 1, TypeError, "add.reduceat"),
]


@pytest.mark.parametrize(("fn", "error", "text"), ERRORS)
def test_errors(fn: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        trace(fn, spec((2,)))
    assert "test_trace.py:" in str(raised.value)


@pytest.mark.parametrize("fn", [lambda x: None, lambda x: 3, lambda x: np.ones(2)])
def test_returning_no_tensor(fn: Any) -> None:
    with pytest.raises(TraceError, match=r"empty graph.*test_trace.py"):
        trace(fn, spec((2,)))


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match="missing a required argument"):
        trace(lambda x, y: x + y, spec((2,)))


def test_tensors_do_not_outlive_their_trace() -> None:
    kept: list[Any] = []
    trace(lambda x: kept.append(x * 2) or x + 1, spec((2,)))
    with pytest.raises(TraceError, match="outside the trace"):
        trace(lambda x: x + kept[0], spec((2,)))
    with pytest.raises(TraceError, match="outside the trace"):
        abs(kept[0])


def test_graphs_are_named_after_their_function() -> None:
    def attention(x: Any) -> Any:
        return x * 2

    assert trace(attention, spec((2,))).name == "attention"
    assert trace(lambda x: x * 2, spec((2,))).name == "kernel"


def test_names_are_checked() -> None:
    assert name(3, "ok.x_1") == 3
    with pytest.raises(ArgumentError, match="letters"):
        trace(lambda x: name(x + 1, "a b"), spec((2,)))
