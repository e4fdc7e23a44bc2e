"""Every row of the op table that makes rows of rows, interpreted from the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nkigen_cp.ir.dtypes import FLOAT32, UINT32
from nkigen_cp.ir.tensor.graph import Axis, Graph, Immediate, Op, Operand, Tensor, identity_index
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.row import Family
from nkigen_cp.ir.tensor.row_rows import ABSENT, find, top
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.ir.tensor.verify import verify_graph

X = np.array([[3, 1, 3, 2], [0, 0, np.nan, 5], [7, -np.inf, 7, 7]], np.float32)
RUNNING = {
    "cumsum": np.cumsum(X, axis=1),
    "cumprod": np.cumprod(X, axis=1),
    "cummax": np.maximum.accumulate(X, axis=1),
    "cummin": np.minimum.accumulate(X, axis=1),
}
MADE: dict[str, Any] = {
    "top": [[3, 3, 2], [5, 0, 0], [7, 7, 7]],
    "find": [[0, 2, ABSENT], [ABSENT] * 3, [ABSENT] * 3],
}


def _graph(kind: str) -> Graph:
    """The op over x (3, 4), which it reads with its dims swapped and writes as (row, 3)."""
    outer = Axis(name="a", size=3)
    if kind in RUNNING:
        axes = (outer, Axis(name="b", size=4, whole=True))
        read, length = identity_index((0, 1)), 4
    else:
        made = Axis(name="k", size=3, whole=True)
        axes = (outer, made, Axis(name="b", size=4, whole=True, reduced=True))
        read, length = identity_index((0, 2)), 3
    dtype = UINT32 if kind == "find" else FLOAT32
    more = (Immediate(value=3.0),) if kind == "find" else ()
    op = Op(
        name="y",
        kind=kind,
        axes=axes,
        inputs=(Operand(tensor="x", index=read), *more),
        outputs=(Operand(tensor="y", index=identity_index((1, 0))),),
    )
    tensors = {
        "x": Tensor(name="x", shape=(3, 4), dtype=FLOAT32, axes=("a", "b")),
        "y": Tensor(name="y", shape=(length, 3), dtype=dtype, axes=("k", "a")),
    }
    return Graph(name="g", tensors=tensors, ops={"y": op}, input_names=("x",), output_names=("y",))


@pytest.mark.parametrize("kind", [r.name for r in OPS.values() if r.family is Family.ROW])
def test_every_row_function_is_its_meaning(kind: str) -> None:
    graph = _graph(kind)
    verify_graph(graph)
    (found,) = interpret(graph, [X]).outputs
    np.testing.assert_array_equal(np.transpose(found), RUNNING.get(kind, MADE.get(kind)))


def test_integers_are_ordered_as_they_are() -> None:
    x = np.array([[2**24, 2**24 + 1, -(2**31)]], np.int32)
    assert top(x, length=3).tolist() == [[2**24 + 1, 2**24, -(2**31)]]


def test_equal_values_are_found_one_after_the_other() -> None:
    places = find(np.array([[1, 2, 1, 2]]), np.array([[2, 1, 1, 1, 2]]), length=5)
    assert places.tolist() == [[1, 0, 2, ABSENT, 3]]
