"""Writes into arrays and views of them, as numpy makes them."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from nkigen_cp.errors import (
    IndexUnsupportedError,
    ReadOnlyError,
    ShapeError,
    TargetIndexError,
    TraceError,
    UnsupportedError,
)
from nkigen_cp.frontend import spec, trace, unflatten
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.verify import verify_graph
from tests.frontend.written import CASES, STEPS, Steps, mixed, normal, wanted


def assert_same(function: Callable[..., Any], arrays: Sequence[Any]) -> None:
    """The graph returns, and leaves in its arguments, what the function does on numpy arrays."""
    graph = trace(function, *arrays)
    verify_graph(graph)
    done = interpret(graph, arrays)
    want, after = wanted(function, arrays)
    found = unflatten(graph.result, done.outputs)
    for mine, theirs in zip(_listed(found), _listed(want), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    left = [np.asarray(a) for a in arrays]
    for name, value in zip(graph.mutated, done.mutated, strict=True):
        left[graph.input_names.index(name)] = value
    for mine, theirs in zip(left, after, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return [*values] if isinstance(values, (tuple, list)) else [values]


@pytest.mark.parametrize("case", CASES)
def test_as_numpy(case: str) -> None:
    shapes, function = CASES[case]
    assert_same(function, [normal(*s, seed=k) for k, s in enumerate(shapes)])


def test_an_input_that_is_written_to_is_listed(data: Any) -> None:
    def fn(x: Any, y: Any) -> Any:
        x[0] = y[0]
        return x

    graph = trace(fn, data((2, 3)), data((2, 3)))
    assert graph.mutated == {"x": "x_2"}
    assert len(graph.output_names) == 1
    assert "x_2" not in graph.output_names


def test_a_name_of_its_own_is_bound_anew(data: Any) -> None:
    def fn(x: Any, y: Any) -> Any:
        before = x
        x += y
        before = before * 1
        return x, before

    graph = trace(fn, data((2, 3)), data((2, 3)))
    assert not graph.mutated
    ones = np.ones((2, 3), np.float32)
    result, before = interpret(graph, [ones, ones]).outputs
    assert result.tolist() == (ones * 2).tolist()
    assert before.tolist() == ones.tolist()


def test_what_later_writes_hide_is_not_copied(data: Any) -> None:
    def fn(x: Any) -> Any:
        out = np.zeros((4, 3), np.float32)
        out[:3] = x[1:]
        out[2:] = x[:2]
        return out

    graph = trace(fn, data((4, 3)))
    assert not graph.constants
    sizes = [[a.size for a in op.axes] for op in graph.producers(graph.output_names[0])]
    assert sizes == [[2, 3], [2, 3]]


def test_axes_keep_their_names() -> None:
    def fn(x: Any, v: Any) -> Any:
        y = x * 2
        y[1:3] = v
        return y

    graph = trace(fn, spec((4, 3), axes=("rows", "columns")), spec((3,)))
    assert graph.outputs[0].axes == ("rows", "columns")


def test_dtypes_of_targets_stay() -> None:
    def fn(x: Any, v: Any) -> Any:
        x[1:3] = v
        y = x * 2
        y[0] += v
        y += v
        return y

    graph = trace(fn, spec((4, 3), "bfloat16"), spec((3,), "float32"))
    assert [t.dtype.name for t in graph.outputs] == ["bfloat16"]
    assert graph.tensors[graph.mutated["x"]].dtype.name == "bfloat16"


def _mask(x: Any) -> None:
    x[x > 0] = 0


def _newaxis(x: Any) -> None:
    x[None, 0] = 0


def _shape(x: Any) -> None:
    x[:2] = x[:, :2]


def _broadcast(x: Any) -> None:
    np.broadcast_to(x[0], (4, 3))[0] = 1


def _bounds(x: Any) -> None:
    x[[0, 4]] = 1


def _integers(x: Any) -> None:
    y = x.astype(np.int32)
    y[:2] += x[:2]


def _captured(x: Any) -> None:
    outside = np.arange(3.0)
    np.add(x[0], 1, out=outside)


def _copied(x: Any) -> None:
    np.copyto(np.arange(3.0), x[0])


ERRORS: list[tuple[Callable[[Any], None], type[Exception], str]] = [
    (_mask, IndexUnsupportedError, "mask.*where"),
    (_newaxis, TargetIndexError, "newaxis"),
    (_newaxis, IndexError, "newaxis"),
    (_shape, ShapeError, r"\(4, 2\).*\(2, 3\)"),
    (_broadcast, ReadOnlyError, "read-only"),
    (_bounds, ShapeError, "index 4 is out of bounds"),
    (_integers, UnsupportedError, "add cannot write its float32 result in place.*int32"),
    (_captured, UnsupportedError, "out= is a ndarray"),
    (_copied, UnsupportedError, "destination is a ndarray"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function: Callable[[Any], None], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        trace(function, spec((4, 3)))
    assert isinstance(raised.value, TraceError)
    assert "test_writing.py:" in str(raised.value)


def test_numpys_own_functions_are_back_after_a_trace() -> None:
    before = (np.zeros, np.empty, np.ones, np.full)
    with pytest.raises(ShapeError):
        trace(_shape, spec((4, 3)))
    assert (np.zeros, np.empty, np.ones, np.full) == before
    assert type(np.zeros(3)) is np.ndarray


@settings(deadline=None, max_examples=15)
@given(STEPS)
def test_any_views_and_writes(steps: Steps) -> None:
    assert_same(mixed(steps), [normal(3, 4), normal(16, 5, seed=1)])
