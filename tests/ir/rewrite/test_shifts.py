"""A subtracted row becomes the bias of the activation behind it, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.rewrite.canonical import simplify
from nkigen_cp.ir.rewrite.shifts import BIASED
from nkigen_cp.ir.tensor.graph import Axis, Graph, Immediate, Operand, identity_index
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.solver.templates import TEMPLATES
from tests.ir.rewrite.sketch import Sketch, check

ROWS, COLUMNS = 6, 8
SHAPE = (ROWS, COLUMNS)
Build = Callable[[Sketch], str]


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.topological()]


def _sketch(build: Build) -> Graph:
    s = Sketch()
    return s.graph(build(s))


@pytest.mark.parametrize("kind", BIASED)
def test_any_activation_takes_the_row_as_its_bias(kind: str) -> None:
    s = Sketch()
    x = s.input("x", SHAPE)
    # The arguments of roots and logarithms stay positive.
    before = s.graph(s.op(kind, s.op("subtract", x, s.op("multiply", s.reduce("min", x), 0.5))))
    after = canonicalise(before)
    assert kinds(after) == ["min", "multiply", "add", kind]
    (negated,) = (op for op in after.ops.values() if op.kind == "multiply")
    assert negated.inputs[1] == Immediate(value=-0.5)
    assert after.tensors[negated.outputs[0].tensor].shape == (ROWS, 1)
    check(before, after)


def test_the_cover_table_has_a_bias_for_each() -> None:
    """An addition, then the activation, in one instruction."""
    able = {
        operator
        for t in TEMPLATES
        if t.instruction == "activation" and [s.operand for s in t.stages] == ["bias", ""]
        for operator in t.stages[-1].only
    }
    assert {OPS[kind].activation for kind in BIASED} == able


def test_rows_of_middle_axes_and_scaled_operands() -> None:
    def centred(x: Any) -> Any:
        return np.exp(x * 0.25 - np.max(x, axis=1, keepdims=True))

    graph = cp.trace(centred, cp.spec((3, 5, 4)))
    core = canonicalise(graph)
    assert kinds(core) == ["multiply", "max", "multiply", "add", "exp"]
    x = np.random.default_rng(0).standard_normal((3, 5, 4))
    want, got = (np.asarray(interpret(g, [x]).outputs[0], np.float64) for g in (graph, core))
    np.testing.assert_allclose(got, want, 1e-12)


@pytest.mark.parametrize("element", ["bfloat16", "float16", "float32"])
def test_every_rounding_stays_the_same(element: str) -> None:
    s = Sketch()
    x = s.input("x", SHAPE, element)
    before = s.graph(s.op("exp", s.op("subtract", x, s.reduce("max", x))))
    after = canonicalise(before)
    assert "subtract" not in kinds(after)
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(before.inputs[0].dtype.numpy)
    want = interpret(before, [values], precision="graph").outputs[0]
    assert np.array_equal(interpret(after, [values], precision="graph").outputs[0], want)


def test_one_negated_row_serves_all() -> None:
    s = Sketch()
    x, y = s.input("x", SHAPE), s.input("y", SHAPE)
    row = s.reduce("max", x)
    differences = [s.op("exp", s.op("subtract", v, row)) for v in (x, y)]
    before = s.graph(*differences)
    after = canonicalise(before)
    assert kinds(after).count("multiply") == 1
    check(before, after)


def test_a_negated_row_is_the_row_again() -> None:
    s = Sketch()
    x = s.input("x", SHAPE)
    row = s.op("multiply", s.reduce("max", x), -1.0)
    before = s.graph(s.op("exp", s.op("subtract", x, row)))
    after = canonicalise(before)
    assert kinds(after) == ["max", "add", "exp"]
    check(before, after)


def _of_full(s: Sketch) -> str:
    return s.op("exp", s.op("subtract", s.input("x", SHAPE), s.input("y", SHAPE)))


def _from_row(s: Sketch) -> str:
    x = s.input("x", SHAPE)
    return s.op("exp", s.op("subtract", s.reduce("max", x), x))


def _of_two_rows(s: Sketch) -> str:
    return s.op("exp", s.op("subtract", s.input("x", (ROWS, 1)), s.input("y", (1, COLUMNS))))


def _no_activation(s: Sketch) -> str:
    x = s.input("x", SHAPE)
    return s.op("maximum", s.op("subtract", x, s.reduce("max", x)), -1.0)


def _shared(s: Sketch) -> str:
    x = s.input("x", SHAPE)
    difference = s.op("subtract", x, s.reduce("max", x))
    return s.op("multiply", s.op("exp", difference), difference)


def _window(s: Sketch) -> str:
    x = s.input("x", SHAPE)
    difference = s.op("subtract", x, s.reduce("max", x))
    return s.op("exp", s.slice(difference, 0, 4))


def _repeated(s: Sketch) -> str:
    x = s.input("x", SHAPE)
    difference = s.op("subtract", x, s.reduce("max", x))
    axes = [Axis(name=f"a{k}", size=n) for k, n in enumerate((3, *SHAPE))]
    read = Operand(tensor=difference, index=identity_index([1, 2]))
    result = s.tensor("repeated", (3, *SHAPE))
    return s.add("exp", axes, [read], Operand(tensor=result, index=identity_index([0, 1, 2])))


OTHERS = (_of_full, _from_row, _of_two_rows, _no_activation, _shared, _window, _repeated)


@pytest.mark.parametrize("build", OTHERS)
def test_other_differences_stay(build: Build) -> None:
    before = _sketch(build)
    after = canonicalise(before)
    assert kinds(after) == kinds(simplify(before))
    assert "subtract" in kinds(after)
    check(before, after)


def test_a_difference_that_is_a_result_stays() -> None:
    s = Sketch()
    x = s.input("x", SHAPE)
    difference = s.op("subtract", x, s.reduce("max", x), name="difference")
    before = s.graph(s.op("exp", difference), difference)
    after = canonicalise(before)
    assert kinds(after) == ["max", "subtract", "exp"]
    check(before, after)


def test_integers_are_not_negated() -> None:
    def counts(x: Any) -> Any:
        return np.exp(x - np.max(x, axis=-1, keepdims=True))

    graph = cp.trace(counts, cp.spec(SHAPE, "int16"))
    assert "subtract" in kinds(canonicalise(graph))


def test_infinities_are_what_they_were() -> None:
    """A row that is masked as a whole is NaN, one with a mask is not."""

    def shifted(x: Any) -> Any:
        return np.exp(x - np.max(x, axis=-1, keepdims=True))

    x = np.array([[0.0, -np.inf], [-np.inf, -np.inf], [np.inf, 1.0]], ml_dtypes.bfloat16)
    graph = cp.trace(shifted, cp.spec(x.shape, "bfloat16"))
    want = interpret(graph, [x]).outputs[0]
    np.testing.assert_array_equal(interpret(canonicalise(graph), [x]).outputs[0], want)
