# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError, SimulationError
from nkigen_cp.frontend import spec, trace
from nkigen_cp.ir.dtypes import BOOL, FLOAT32, INT32
from nkigen_cp.ir.tensor.graph import (
    Axis,
    DimIndex,
    Graph,
    Immediate,
    Op,
    Operand,
    Tensor,
    Term,
    identity_index,
)
from nkigen_cp.ir.tensor.interpret import addressed, interpret, interpret_ranks
from nkigen_cp.ir.tensor.table import OPS, Family, Result


def test_addressed_views_share_memory_and_repeat_broadcast_axes() -> None:
    x = np.arange(12.0).reshape(3, 4)
    index = (DimIndex(offset=2, terms=(Term(axis=0, stride=-1),)), DimIndex(offset=1))
    view = addressed(x, index, (3, 2))
    assert view.tolist() == [[9, 9], [5, 5], [1, 1]]
    assert np.shares_memory(view, x)
    diagonal = (DimIndex(terms=(Term(axis=0),)), DimIndex(terms=(Term(axis=0),)))
    assert addressed(x, diagonal, (3,)).tolist() == [0, 5, 10]


ELEMENTWISE = [
    row
    for row in OPS.values()
    if row.family in (Family.ELEMENTWISE, Family.COMPOSITE) and row.name != "mean"
]


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_every_elementwise_row_is_its_meaning(row: Any) -> None:
    element = INT32 if row.integers else FLOAT32
    tensor = Tensor(name="x", shape=(3, 4), dtype=element, axes=("a", "b"))
    dtype = BOOL if row.result is Result.BOOL else element
    result = Tensor(name="y", shape=(4, 3), dtype=dtype, axes=("b", "a"))
    values = [2, 1] if row.integers else [2.0, -1.5]
    numbers = [Immediate(value=v) for v in values]
    inputs = [Operand(tensor="x", index=identity_index((0, 1))), *numbers]
    op = Op(
        name="y",
        kind=row.name,
        axes=(Axis(name="a", size=3), Axis(name="b", size=4)),
        inputs=tuple(inputs[: row.arity]),
        outputs=(Operand(tensor="y", index=identity_index((1, 0))),),
    )
    graph = Graph(
        name="g",
        tensors={"x": tensor, "y": result},
        ops={"y": op},
        input_names=("x",),
        output_names=("y",),
    )
    low, high = (-9, 2**31 - 1) if row.integers else (0.1, 1.0)
    x = np.linspace(low, high, 12).astype(element.numpy).reshape(3, 4)
    (found,) = interpret(graph, [x]).outputs
    typed = [np.asarray(v, np.int32 if row.integers else np.float64) for v in (x, *values)]
    expected = row.meaning(*typed[: row.arity])
    np.testing.assert_allclose(found.astype(float), expected.T, rtol=1e-12)


def test_precisions() -> None:
    graph = trace(lambda x, y: (x + y) * 3, spec((2,), "bfloat16"), spec((2,), "bfloat16"))
    x, y = np.array([1.0, 256.0]), np.array([0.00390625, 1.0])
    exact, rounded = (
        interpret(graph, [x, y], precision=p).outputs[0] for p in ("float64", "graph")
    )
    assert exact.dtype == np.float64
    assert exact.tolist() == [3.01171875, 771.0]
    assert rounded.dtype == ml_dtypes.bfloat16
    assert rounded.astype(float).tolist() == [3.0, 768.0]


def test_inputs_are_rounded_to_their_dtype() -> None:
    (out,) = interpret(trace(lambda x: x + 0, spec((1,), "bfloat16")), [np.array([1.001])]).outputs
    assert out.tolist() == [1.0]


def test_contractions_accumulate_in_float32_and_round_once() -> None:
    graph = trace(lambda x, y: x @ y, spec((1, 512), "bfloat16"), spec((512, 1), "bfloat16"))
    ones = np.ones((1, 512)), np.full((512, 1), 1.0)
    (out,) = interpret(graph, ones, precision="graph").outputs
    assert float(out[0, 0]) == 512.0


def test_casts_to_integers_truncate_in_both_precisions() -> None:
    graph = trace(lambda x: x.astype(np.int32) * 2, spec((3,)))
    for precision in ("float64", "graph"):
        x = np.array([1.7, -1.7, 3.0])
        assert interpret(graph, [x], precision=precision).outputs[0].tolist() == [2, -2, 6]


def test_gathers_read_where_the_index_says_and_nowhere_else() -> None:
    graph = trace(lambda x, i: x[:, i], spec((2, 5)), spec((3,), "int32"))
    x = np.arange(10.0).reshape(2, 5)
    (out,) = interpret(graph, [x, np.array([4, -5, 1])]).outputs
    assert out.tolist() == [[4, 0, 1], [9, 5, 6]]
    with pytest.raises(SimulationError, match=r"index 5 is out of bounds for 5 positions of dim 1"):
        interpret(graph, [x, np.array([0, 5, 1])])


def test_scatters_write_where_the_index_says_the_last_one_last() -> None:
    def fn(x: Any, i: Any, v: Any) -> Any:
        return cp.ops.scatter_rows(x, i, v, axis=1)

    graph = trace(fn, spec((2, 4)), spec((3,), "int32"), spec((2, 3)))
    x, v = np.arange(8.0).reshape(2, 4), np.arange(6.0).reshape(2, 3) * 10
    (out,) = interpret(graph, [x, np.array([3, -2, 3]), v]).outputs
    assert out.tolist() == [[0, 1, 10, 20], [4, 5, 40, 50]]


def test_collectives_exchange_what_the_ranks_of_a_group_have() -> None:
    groups = [[0, 2], [3, 1]]

    def fn(x: Any) -> Any:
        cc = cp.collectives
        scattered = cc.reduce_scatter(x, groups, 0, "min")
        return (
            cc.all_reduce(x, groups),
            cc.all_gather(x, groups),
            scattered,
            cc.all_to_all(x, groups),
        )

    x = [np.array([1.0, 9.0]) * 10**rank for rank in range(4)]
    done = interpret_ranks(trace(fn, spec((2,))), [[a] for a in x])
    first, second = ([array.tolist() for array in done[rank].outputs] for rank in (0, 1))
    assert first == [[101, 909], [1, 9, 100, 900], [1], [1, 100]]
    assert second == [[1010, 9090], [1000, 9000, 10, 90], [90], [9000, 90]]
    with pytest.raises(ArgumentError, match="over 4 ranks, got the arguments of 1"):
        interpret(trace(fn, spec((2,))), [x[0]])


def test_keep_returns_intermediates() -> None:
    def fn(x: Any) -> Any:
        doubled = x * 2
        return doubled + 1

    kept = interpret(trace(fn, spec((2,))), [np.ones(2)], keep=["doubled", "x"]).kept
    assert {name: array.tolist() for name, array in kept.items()} == {
        "doubled": [2, 2],
        "x": [1, 1],
    }


def test_wrong_arguments() -> None:
    graph = trace(lambda x: x * 2, spec((2,)))
    with pytest.raises(ArgumentError, match="1 inputs"):
        interpret(graph, [])
    with pytest.raises(ArgumentError, match=r"shape \(2,\), got \(3,\)"):
        interpret(graph, [np.ones(3)])
    with pytest.raises(ArgumentError, match="no tensor 'z'"):
        interpret(graph, [np.ones(2)], keep=["z"])
    with pytest.raises(ArgumentError, match="precision"):
        interpret(graph, [np.ones(2)], precision="half")  # pyright: ignore[reportArgumentType]
