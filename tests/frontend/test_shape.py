# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nkigen_cp.errors import ShapeError, UnsupportedError
from nkigen_cp.frontend import spec, trace
from nkigen_cp.frontend.factors import refine
from nkigen_cp.ir.tensor.graph import DimIndex, Term

CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "reshape nests": (lambda x: x.reshape(3, 2, 2, 2), (6, 4)),
    "reshape -1": (lambda x: np.reshape(x, (-1, 3)), (6, 4)),
    "reshape int": (lambda x: np.reshape(x, 24), (6, 4)),
    "reshape does not nest": (lambda x: x.reshape(4, 3) * 2, (3, 4)),
    "reshape ones": (lambda x: x.reshape(1, 6, 1), (2, 1, 3)),
    "reshape to scalar": (lambda x: x.reshape(()), (1, 1)),
    "reshape empty": (lambda x: x.reshape(3, 0), (0, 2)),
    "ravel": (lambda x: np.ravel(x) + x.ravel() + x.flatten(), (2, 3)),
    "transpose": (lambda x: np.transpose(x, (0, 2, -2)), (2, 3, 4)),
    "transpose method": (lambda x: x.transpose(2, 0, 1), (2, 3, 4)),
    "T": (lambda x: x.T, (2, 3, 4)),
    "swapaxes": (lambda x: x.swapaxes(0, -1), (2, 3, 4)),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), (-1, 0)), (2, 3, 4)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), (3, 1)),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
    "squeeze": (np.squeeze, (1, 2, 1, 3)),
    "squeeze axis": (lambda x: x.squeeze(axis=0), (1, 2, 1, 3)),
    "squeeze all": (lambda x: x.squeeze() + 1, (1, 1)),
    "concatenate": (lambda x: np.concatenate([x, x * 2, np.ones((2, 1), np.float32)], 1), (2, 3)),
    "concatenate flat": (lambda x: np.concatenate([x, x], axis=None), (2, 3)),
    "stack": (lambda x: np.stack([x, x + 1], axis=-1), (2, 3)),
    "split": (lambda x: np.split(x, 3, axis=1), (2, 6)),
    "split at": (lambda x: np.split(x, [1, 4], axis=-1), (2, 6)),
    "repeat": (lambda x: np.repeat(x, 3, axis=1), (2, 3)),
    "repeat flat": (lambda x: x.repeat(2), (2, 3)),
    "repeat none": (lambda x: np.repeat(x, 0, axis=0), (2, 3)),
    "astype": (lambda x: (x * 3).astype(np.int32), (2, 3)),
    "copy": (lambda x: x.copy() + np.copy(x), (2, 3)),
    "index int": (lambda x: x[1, -1], (2, 3)),
    "index slices": (lambda x: x[1:, ::2, 1:-1], (3, 5, 4)),
    "index backwards": (lambda x: x[::-1, 4:0:-2], (3, 5)),
    "index ellipsis": (lambda x: x[..., 1:], (2, 3, 4)),
    "index newaxis": (lambda x: x[:, None, 0, ..., np.newaxis], (2, 3, 4)),
    "index empty": (lambda x: x[2:1], (3, 4)),
    "index numpy int": (lambda x: x[np.int64(1)], (3, 4)),
    "iteration": (lambda x: [row * 2 for row in x], (3, 4)),
    "scalar": (lambda x: x[...] + x[()], ()),
}


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(agrees: Any, data: Any, name: str) -> None:
    fn, shape = CASES[name]
    agrees(fn, data(shape))


FIXTURES_ARE_STATELESS = [HealthCheck.function_scoped_fixture]
SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=FIXTURES_ARE_STATELESS)


@st.composite
def _factored(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    factors = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=5))

    def group() -> tuple[int, ...]:
        cuts = sorted(draw(st.lists(st.integers(0, len(factors)), max_size=3)))
        edges = [0, *cuts, len(factors)]
        return tuple(math.prod(factors[a:b]) for a, b in pairwise(edges))

    return group(), group()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(shapes=_factored())
def test_reshapes_of_common_factors_are_one_copy(agrees: Any, data: Any, shapes: Any) -> None:
    graph = agrees(lambda x: np.reshape(x, shapes[1]), data(shapes[0]))
    assert [op.kind for op in graph.ops.values()] == ["copy"]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.data())
def test_random_subscripts(agrees: Any, data: Any, key: Any) -> None:
    x = data((3, 4, 5))
    bound = st.one_of(st.none(), st.integers(-6, 6))
    step = st.one_of(st.none(), st.sampled_from([-3, -2, -1, 1, 2, 3]))
    part = st.one_of(st.builds(slice, bound, bound, step), st.integers(-3, 2), st.just(None))
    parts = key.draw(
        st.lists(part, max_size=4).filter(lambda p: len([i for i in p if i is not None]) < 4)
    )
    agrees(lambda x: x[tuple(parts)] * 2, x)


def test_identities_record_nothing() -> None:
    def fn(x: Any) -> Any:
        same = x.reshape(2, 3).transpose(0, 1)[:, :].astype(np.float32).copy().squeeze()
        return np.repeat(np.broadcast_to(same, (2, 3)), 1, axis=0) + 1

    assert [op.kind for op in trace(fn, spec((2, 3))).ops.values()] == ["add"]


def test_index_maps() -> None:
    graph = trace(lambda x: x.reshape(2, 3, 64)[:, 1:, ::2], spec((2, 192)))
    split, sliced = graph.ops.values()
    assert split.operands[0].index == (
        DimIndex(terms=(Term(axis=0),)),
        DimIndex(terms=(Term(axis=1, stride=64), Term(axis=2))),
    )
    assert sliced.operands[0].index == (
        DimIndex(terms=(Term(axis=0),)),
        DimIndex(offset=1, terms=(Term(axis=1),)),
        DimIndex(terms=(Term(axis=2, stride=2),)),
    )


def test_repeat_and_concatenation_index_maps() -> None:
    graph = trace(lambda x: np.concatenate([np.repeat(x, 2, axis=0), x]), spec((3,)))
    repeat, first, second = graph.ops.values()
    assert repeat.outputs[0].index == (DimIndex(terms=(Term(axis=0, stride=2), Term(axis=1))),)
    assert [o.outputs[0].index[0].offset for o in (first, second)] == [0, 6]
    assert [o.name for o in graph.producers(graph.output_names[0])] == [first.name, second.name]


def test_refinement() -> None:
    found = refine((4, 6), (8, 3))
    assert found is not None
    assert found.sizes == (4, 2, 3)
    assert refine((3, 4), (4, 3)) is None
    assert refine((96, 100), (75, 128)) is None


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda x: x.reshape(5), ShapeError, "has 6 elements"),
    (lambda x: x.reshape(-1, -1), ShapeError, "at most one"),
    (lambda x: x.reshape(2, 3, order="F"), UnsupportedError, "row-major"),
    (lambda x: x.transpose(0), ShapeError, "do not match"),
    (lambda x: x.transpose(0, 0), ShapeError, "twice"),
    (lambda x: x.squeeze(axis=0), ShapeError, "not 1"),
    (lambda x: np.split(x, 0), ValueError, "larger than 0"),
    (lambda x: np.split(x, 4, axis=1), ValueError, "equal"),
    (lambda x: np.split(x, 1, axis=2), ValueError, "out of bounds"),
    (lambda x: np.broadcast_to(x, (3, 3)), ShapeError, "broadcast"),
    (lambda x: np.concatenate([x, x[:, :2]]), ShapeError, "differ"),
    (lambda x: np.stack([x, x[:1]]), ShapeError, "differ"),
    (lambda x: x[2], ShapeError, "out of bounds"),
    (lambda x: x[0, 0, 0], ShapeError, "does not fit"),
    (lambda x: x[x], NotImplementedError, "traced index must hold integers"),
    (lambda x: x["a"], UnsupportedError, "str"),
    (lambda x: x.astype("complex64"), UnsupportedError, "complex64"),
]


@pytest.mark.parametrize(("fn", "error", "text"), ERRORS)
def test_errors_name_the_users_line(fn: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        trace(fn, spec((2, 3)))
    assert f"test_shape.py:{fn.__code__.co_firstlineno}" in str(raised.value)


def test_traced_masks_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="where"):
        trace(lambda x, mask: x[mask], spec((3,)), spec((3,), "bool"))
