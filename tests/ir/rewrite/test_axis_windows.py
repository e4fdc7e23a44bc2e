"""An axis in windows computes what the whole axis did; windows share only what others see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.rewrite.axis_windows import split_axis
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import Precision, interpret
from nkigen_cp.ir.tensor.verify import verify_graph
from tests.ir.rewrite.sketch import Sketch

SIDE = 6
UNARY = ("exp", "tanh", "square", "abs")
BINARY = ("add", "subtract", "multiply", "maximum")
EXACT: tuple[tuple[Precision, float], ...] = (("float64", 1e-12), ("graph", 1e-5))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Square matrices only, so that any op may follow any other and every axis meets the others."""
    s = Sketch()
    names = [s.input("x", (SIDE, SIDE)), s.input("y", (SIDE, SIDE))]
    corner = np.triu(np.ones((SIDE, SIDE), np.float32))
    names.append(s.constant("c", corner))

    def pick() -> str:
        return draw(st.sampled_from(names))

    def halves() -> str:
        at = draw(st.integers(1, SIDE - 1))
        return s.concat(s.slice(pick(), 0, at), s.slice(pick(), at, SIDE))

    steps = {
        "unary": lambda: s.op(draw(st.sampled_from(UNARY)), s.op("tanh", pick())),
        "binary": lambda: s.op(draw(st.sampled_from(BINARY)), pick(), pick()),
        "reduced": lambda: s.op("multiply", pick(), s.reduce("sum", pick())),
        "matmul": lambda: s.op("tanh", s.matmul(pick(), pick())),
        "transpose": lambda: s.transpose(pick()),
        "halves": halves,
    }
    for kind in draw(st.lists(st.sampled_from(sorted(steps)), min_size=2, max_size=8)):
        names.append(steps[kind]())
    return s.graph(*dict.fromkeys((draw(st.sampled_from(names[3:])), names[-1])))


def check(before: Graph, after: Graph) -> None:
    verify_graph(after)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-1, 1, t.shape) for t in before.inputs]
    for precision, tolerance in EXACT:
        want = interpret(before, arrays, precision=precision).outputs
        got = interpret(after, arrays, precision=precision).outputs
        for g, w in zip(got, want, strict=True):
            found, wide = np.asarray(g, np.float64), np.asarray(w, np.float64)
            np.testing.assert_allclose(found, wide, tolerance, tolerance)


@given(data=st.data(), before=graphs())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_graphs_compute_the_same(data: st.DataObject, before: Graph) -> None:
    verify_graph(before)
    square = [n for n, t in before.tensors.items() if t.shape == (SIDE, SIDE)]
    inner = data.draw(st.sets(st.integers(1, SIDE - 1), min_size=1))
    after = split_axis(
        before,
        data.draw(st.sampled_from(square)),
        data.draw(st.integers(0, 1)),
        (0, *sorted(inner), SIDE),
    )
    check(before, after)
    again = data.draw(st.sampled_from([n for n in after.tensors if n in square]))
    check(before, split_axis(after, again, data.draw(st.integers(0, 1)), (0, 1, 4, SIDE)))


def softmax(x: Any, w: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return (exps / np.sum(exps, axis=-1, keepdims=True)) @ w


def test_every_window_has_tensors_of_its_own() -> None:
    before = canonicalise(cp.trace(softmax, cp.spec((96, 40)), cp.spec((40, 24))))
    after = split_axis(before, "x", 0, (0, 32, 96))
    check(before, after)
    inner = [t for t in before.tensors.values() if t.name not in ("x", "w", *before.output_names)]
    for number, rows in enumerate((32, 64)):
        for tensor in inner:
            assert after.tensors[f"{tensor.name}.{number}"].shape == (rows, *tensor.shape[1:])
    assert not any(t.name in after.tensors for t in inner)
    assert len(after.ops) == 2 * len(before.ops)
    # One window after the other: nothing of the first is alive in the second.
    numbers = [name.rsplit(".", 1)[1] for name in after.ops]
    assert numbers == sorted(numbers)


def test_columns_of_a_softmax_are_reduced_window_by_window() -> None:
    before = canonicalise(cp.trace(softmax, cp.spec((96, 40)), cp.spec((40, 24))))
    after = split_axis(before, "x", 1, (0, 10, 40))
    check(before, after)
    for kind, joined in (("max", "maximum"), ("sum", "add"), ("contract", "add")):
        reducing = [o for o in after.ops.values() if o.kind == kind]
        assert [next(a.size for a in o.axes if a.reduced) for o in reducing] == [10, 30]
        results = [o.outputs[0].tensor for o in reducing]
        read = [[i.tensor for i in o.operands] for o in after.ops.values() if o.kind == joined]
        assert results in read
    assert not any(len(after.producers(t)) > 1 for t in after.tensors)


def test_parts_of_a_narrow_product_are_added_in_float32() -> None:
    def product(x: Any, w: Any) -> Any:
        return np.tanh(x) @ w

    half = (cp.spec((8, 40), "bfloat16"), cp.spec((40, 24), "bfloat16"))
    before = canonicalise(cp.trace(product, *half))
    after = split_axis(before, "x", 1, (0, 10, 20, 40))
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-1, 1, t.shape) for t in before.inputs]
    (want,), (got,) = (interpret(g, arrays).outputs for g in (before, after))
    np.testing.assert_allclose(
        np.asarray(got, np.float64), np.asarray(want, np.float64), 1e-12, 1e-12
    )
    products = [o.outputs[0].tensor for o in after.ops.values() if o.kind == "contract"]
    assert [after.tensors[t].dtype.name for t in products] == ["float32"] * 3


def test_a_contraction_over_the_axis_and_its_rows_are_split() -> None:
    def twice(x: Any, y: Any) -> Any:
        hidden = np.tanh(x)
        return hidden @ y, np.transpose(hidden) @ hidden

    before = canonicalise(cp.trace(twice, cp.spec((32, 16)), cp.spec((16, 8))))
    after = split_axis(before, "x", 0, (0, 8, 32))
    check(before, after)
    sizes = [tuple(a.size for a in o.axes) for o in after.ops.values() if o.kind == "contract"]
    assert sorted(sizes) == [(8, 8, 16), (16, 16, 8), (16, 16, 24), (24, 8, 16)]


def test_an_axis_against_itself_is_split_on_one_side() -> None:
    def gram(x: Any) -> Any:
        return np.exp(x @ np.transpose(x))

    before = canonicalise(cp.trace(gram, cp.spec((32, 16))))
    after = split_axis(before, "x", 0, (0, 16, 32))
    check(before, after)
    sizes = [tuple(a.size for a in o.axes) for o in after.ops.values() if o.kind == "contract"]
    assert sizes == [(16, 32, 16)] * 2


@pytest.mark.parametrize("start", ["x", "folded"])
def test_a_reshape_that_does_not_nest_ends_the_windows(start: str) -> None:
    def function(x: Any) -> Any:
        folded = np.reshape(np.tanh(x), (8, 9))
        return np.exp(folded)

    before = canonicalise(cp.trace(function, cp.spec((12, 6))))
    after = split_axis(before, start, 0, (0, 5, before.tensors[start].shape[0]))
    check(before, after)
    kinds = sorted(o.kind for o in after.ops.values())
    twice = "tanh" if start == "x" else "exp"
    assert kinds == sorted([*(o.kind for o in before.ops.values()), twice])


def test_a_merged_dim_is_written_in_pieces() -> None:
    def function(x: Any) -> Any:
        return np.exp(np.reshape(np.tanh(x), (72,)))

    before = canonicalise(cp.trace(function, cp.spec((12, 6))))
    after = split_axis(before, "x", 0, (0, 5, 12))
    check(before, after)
    assert sorted(o.kind for o in after.ops.values()) == ["copy", "copy", "exp", "tanh", "tanh"]


def exp_of_first(x: Any, w: Any) -> Any:
    return np.exp(x)


def test_nothing_to_split() -> None:
    graph = canonicalise(cp.trace(softmax, cp.spec((96, 40)), cp.spec((40, 24))))
    assert split_axis(graph, "x", 0, (0, 96)) is graph
    exps = canonicalise(cp.trace(exp_of_first, cp.spec((8,)), cp.spec((40,))))
    assert split_axis(exps, "w", 0, (0, 20, 40)) is exps


@pytest.mark.parametrize(
    ("tensor", "dim", "boundaries", "message"),
    [
        ("z", 0, (0, 96), "no tensor 'z'"),
        ("x", 2, (0, 96), "no dim 2"),
        ("x", -1, (0, 40), "no dim -1"),
        ("x", 0, (), "ascend from 0 to 96"),
        ("x", 0, (0, 32), "ascend from 0 to 96"),
        ("x", 0, (1, 96), "ascend from 0 to 96"),
        ("x", 0, (0, 32, 32, 96), "ascend from 0 to 96"),
    ],
)
def test_arguments(tensor: str, dim: int, boundaries: tuple[int, ...], message: str) -> None:
    graph = cp.trace(softmax, cp.spec((96, 40)), cp.spec((40, 24)))
    with pytest.raises(ArgumentError, match=message):
        split_axis(graph, tensor, dim, boundaries)
