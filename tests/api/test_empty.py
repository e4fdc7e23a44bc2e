"""Tensors without elements, from the kernel to the simulator's arrays."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import assert_same, normal
from tests.api.test_writes import assert_same as assert_written

numpy: Any = np
Shapes = tuple[tuple[int, ...], ...]
CASES: dict[str, tuple[Shapes, Callable[..., Any]]] = {
    "an empty slice": (((3, 4),), lambda x: (x[2:2] * 2, x + 1)),
    "no positions": (((3, 4),), lambda x: x[[]]),
    "elementwise": (((0, 4),), lambda x: numpy.exp(x) * 2 + x[:1]),
    "where": (((0, 3),), lambda x: numpy.where(x > 0, x, 0)),
    "sum": (((0, 4), (3, 4)), lambda x, y: x.sum(axis=0) + y),
    "sum of all": (((0, 4),), numpy.sum),
    "sum kept": (((3, 0, 2),), lambda x: numpy.sum(x, axis=1, keepdims=True)),
    "mean": (((3, 0),), lambda x: numpy.mean(x, axis=1)),
    "variance": (((0, 3),), lambda x: numpy.var(x, axis=0)),
    "prod": (((3, 0),), lambda x: numpy.prod(x, axis=1)),
    "any and all": (((3, 0),), lambda x: (numpy.any(x, axis=1), numpy.all(x, axis=1))),
    "norm": (((0,),), numpy.linalg.norm),
    "cumsum": (((0, 3),), lambda x: numpy.cumsum(x, axis=0)),
    "softmax": (((0, 3),), lambda x: numpy.exp(x) / numpy.sum(numpy.exp(x), axis=-1)[:, None]),
    "matmul over nothing": (((3, 0), (0, 4)), lambda x, y: x @ y),
    "matmul of nothing": (((0, 3), (3, 4)), lambda x, y: x @ y),
    "dot": (((0,), (0,)), numpy.dot),
    "outer": (((0,), (3,)), numpy.outer),
    "concatenate": (((0, 4), (3, 4)), lambda x, y: numpy.concatenate([x, y])),
    "concatenate nothing": (((0, 4),), lambda x: numpy.concatenate([x, x])),
    "stack": (((0, 3),), lambda x: numpy.stack([x, x])),
    "reshape": (((4, 0),), lambda x: x.reshape(2, 0, 5)),
    "transpose": (((0, 3),), lambda x: x.T + 1),
    "pad": (((0, 3),), lambda x: numpy.pad(x, ((1, 1), (0, 0)))),
    "tile": (((2, 3),), lambda x: numpy.tile(x, (0, 2))),
    "repeat": (((3, 2),), lambda x: numpy.repeat(x, 0, axis=0)),
    "array_split": (((3, 2),), lambda x: numpy.array_split(x, 5)),
    "zeros": (((3, 2),), lambda x: (numpy.zeros((0, 3), np.float32), x * 2)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_as_numpy(case: str) -> None:
    shapes, function = CASES[case]
    assert_same(function, [normal(*s, seed=k) for k, s in enumerate(shapes)])


def test_nothing_may_be_written() -> None:
    def fn(x: Any, v: Any) -> Any:
        x[1:1] = v
        y = x * 2
        y[:, 3:] = 5
        return y

    assert_written(fn, [normal(4, 3), normal(0, 3)])


def test_a_kernel_of_nothing_has_no_instructions() -> None:
    graph = cp.trace(lambda x: x * 2, normal(0, 3))
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    assert (kernel.inputs, kernel.outputs, kernel.body) == ((), (), ())
    assert cp.count(kernel).instructions == 0
    assert cp.first_difference(kernel, normal(0, 3)) is None


def test_infinite_numbers_survive_a_plan_file(tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = cp.trace(lambda x: numpy.where(x > 0, x, -np.inf), normal(4, 3))
    plan = cp.solve(graph, effort="fast")
    path = tmp_path / "plan.json"
    plan.save(path)
    loaded = cp.Plan.load(path)
    assert loaded.to_json() == plan.to_json()
    x = normal(4, 3)
    got = cp.simulate(cp.lower(loaded), x)
    np.testing.assert_array_equal(got, np.where(x > 0, x, -np.inf))
