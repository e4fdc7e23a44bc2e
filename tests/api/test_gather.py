# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
"""Indices that are traced tensors, from the kernel to the simulator's arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.solver.plan import Gather
from tests.api.functions import assert_same, normal, through

numpy: Any = np
Fn = Callable[[Any, Any], Any]
TABLE = (7, 5, 6)
SUBSCRIPTS: dict[str, tuple[tuple[int, ...], Fn]] = {
    "rows": ((2, 3), lambda x, i: x[i]),
    "a middle dim": ((4,), lambda x, i: x[:, i]),
    "the last dim": ((2, 2), lambda x, i: x[..., i]),
    "one row": ((), lambda x, i: x[i]),
    "one place of a middle dim": ((), lambda x, i: x[:, i]),
    "one place of the last dim": ((1,), lambda x, i: x[1:3, ..., i]),
    "beside an integer": ((3,), lambda x, i: x[2, i]),
    "apart from an integer": ((3,), lambda x, i: x[2, :, i]),
    "beside windows": ((3,), lambda x, i: x[1:6:2, i, ::-1]),
    "a window of the rows": ((3,), lambda x, i: x[1:6][i]),
    "every other row": ((3,), lambda x, i: x[::2][i - 1]),
    "newaxis": ((3,), lambda x, i: x[:, i, None, 2]),
    "transposed": ((3,), lambda x, i: x.T[i]),
    "merged dims": ((9,), lambda x, i: x.reshape(35, 6)[i]),
    "of one row": ((3,), lambda x, i: x[:1][i * 0]),
    "take": ((2, 2), lambda x, i: numpy.take(x, i, axis=1)),
    "take a method": ((3,), lambda x, i: x.take(i, axis=-1)),
    "take of all": ((2, 2), numpy.take),
    "take clipped": ((4,), lambda x, i: numpy.take(x, i * 9, axis=0, mode="clip")),
    "computed": ((4,), lambda x, i: numpy.exp(x)[i * 2 - 3] + 1),
    "twice": ((4,), lambda x, i: x[i] + x[i][:, :, :1]),
    "of what is gathered": ((4,), lambda x, i: x[i][:, i]),
}


@pytest.mark.parametrize("case", SUBSCRIPTS)
def test_subscripts(case: str) -> None:
    shape, function = SUBSCRIPTS[case]
    index = np.random.default_rng(1).integers(-4, 5, shape).astype(np.int32)
    assert_same(function, [normal(*TABLE), index])


ALONG: dict[str, tuple[tuple[int, ...], tuple[int, ...], int | None]] = {
    "the last axis": ((5, 6), (5, 9), 1),
    "the first axis": ((5, 6), (3, 6), 0),
    "above the partitions": ((200, 40), (200, 3), -1),
    "a middle axis": ((3, 7, 4), (3, 2, 4), 1),
    "broadcast indices": ((3, 7, 4), (1, 2, 1), 1),
    "a broadcast table": ((1, 7, 4), (3, 2, 4), 1),
    "flat": ((11,), (5,), None),
    "long rows": ((4, 3000), (4, 700), 1),
}


@pytest.mark.parametrize("case", ALONG)
def test_take_along_axis(case: str) -> None:
    shape, indices, axis = ALONG[case]
    size = shape[axis or 0]
    index = np.random.default_rng(2).integers(-size, size, indices).astype(np.int32)
    assert_same(lambda x, i: numpy.take_along_axis(x, i, axis), [normal(*shape), index])


@pytest.mark.parametrize("index", ["int8", "int16", "int32", "uint8", "uint16", "uint32"])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int32", "uint8"])
def test_dtypes(index: str, kind: str) -> None:
    table = np.rint(normal(100, 3) * 9 + 50).astype(np.dtype(getattr(ml_dtypes, kind, kind)))
    ids = np.random.default_rng(3).integers(0, 100, (5, 2)).astype(index)
    (got,) = through(lambda t, i: t[i], [table, ids])
    assert got.dtype == table.dtype
    np.testing.assert_array_equal(got, table[ids])


def test_an_embedding_reads_the_rows_it_needs_and_nothing_else() -> None:
    table, ids = normal(5000, 256), np.arange(130, dtype=np.int32)[None] * 38

    def embed(t: Any, i: Any) -> Any:
        return t[i] * 16

    kernel = cp.lower(cp.solve(cp.trace(embed, table, ids), effort="fast"))
    counts = cp.count(kernel)
    assert counts.hbm_bytes == counts.compulsory_bytes == 2 * 130 * 256 * 4 + 130 * 4
    np.testing.assert_array_equal(cp.simulate(kernel, table, ids), embed(table, ids))


FROM_A_TABLE: dict[str, Callable[[Any, Any], Any]] = {
    "take": lambda table, i: numpy.take(table, i, axis=0) * 2,
    "take clipped": lambda table, i: numpy.take(table, i * 50, axis=0, mode="clip") * 2,
    "constant": lambda table, i: cp.ops.constant(table)[i] * 2,
    "gather_rows": lambda table, i: cp.ops.gather_rows(table, i) * 2,
}


@pytest.mark.parametrize("case", FROM_A_TABLE)
def test_a_constant_may_be_the_table(case: str) -> None:
    """Of which only the rows that are asked for have to be read."""
    table, index = normal(300, 64), np.array([3, 299, 3, 0], np.int32)
    graph = cp.trace(lambda i: FROM_A_TABLE[case](table, i), index)
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    np.testing.assert_array_equal(cp.simulate(kernel, index), FROM_A_TABLE[case](table, index))
    rows_bytes = index.size * 64 * 4
    assert cp.count(kernel).compulsory_bytes == 2 * rows_bytes + index.nbytes


def test_elements_of_a_constant() -> None:
    table = normal(40, 8)
    index = np.array([[3, -1, 0, 7, 7, 1, -8, 2]], np.int32)
    assert_same(lambda i: numpy.take_along_axis(table, i, 0), [index])


def test_weights_chosen_by_data_are_all_that_is_read() -> None:
    def experts(x: Any, scores: Any, w: Any) -> Any:
        best = (scores[:, 0] < scores[:, 1]).astype(np.int32) + 1
        return x[:, None] @ w[best]

    arrays = [normal(2, 160), normal(2, 2, seed=1), normal(6, 160, 96, seed=2)]
    kernel = cp.lower(cp.solve(cp.trace(experts, *arrays), effort="fast"))
    np.testing.assert_allclose(cp.simulate(kernel, *arrays), experts(*arrays), rtol=1e-4)
    assert cp.count(kernel).hbm_read_bytes < 2 * 160 * 96 * 4 + 4000


def test_experts_larger_than_sbuf_come_one_by_one() -> None:
    def experts(x: Any, e: Any, w: Any) -> Any:
        return x[:, None] @ w[e]

    arrays = [normal(6, 256), np.array([0, 3, 1, 3, 2, 2], np.uint32), normal(4, 256, 384, seed=2)]
    small = replace(cp.TRN2, sbuf_partition_bytes=8_000)
    plan = cp.solve(cp.trace(experts, *arrays), small, effort="fast")
    assert [s.path != () for s in plan.data.steps if isinstance(s.spec, Gather)] == [True]
    got = cp.simulate(cp.lower(plan), *arrays)
    np.testing.assert_allclose(got, experts(*arrays), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("value", "named"), [(5, "index 5"), (-6, "index -1")])
def test_an_index_out_of_bounds_is_an_error(value: int, named: str) -> None:
    arrays = [normal(5, 4), np.array([0, value], np.int32)]
    kernel = cp.lower(cp.solve(cp.trace(lambda x, i: x[i], *arrays), effort="fast"))
    with pytest.raises(cp.SimulationError, match=rf"{named}, .* for 5 positions"):
        cp.simulate(kernel, *arrays)


SCATTERS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], str]] = {
    "rows": (0, (3,), (3, 5, 6), "float32"),
    "one row": (0, (), (5, 6), "float32"),
    "a middle dim": (1, (4,), (7, 4, 6), "float32"),
    "the last dim": (-1, (2,), (7, 5, 2), "float32"),
    "an index of two dims": (0, (2, 3), (2, 3, 5, 6), "float32"),
    "values that broadcast": (0, (2, 2), (1, 6), "float32"),
    "into one row": (1, (2,), (7, 2, 6), "float32"),
    "narrow": (1, (3,), (7, 3, 6), "bfloat16"),
}


@pytest.mark.parametrize("case", SCATTERS)
def test_scattered_rows(case: str) -> None:
    axis, indices, shape, kind = SCATTERS[case]
    table = normal(*TABLE)
    size = TABLE[axis]
    index = np.random.default_rng(5).integers(-size, size, indices).astype(np.int32)
    if case == "into one row":
        table, index = table[:, :1], index * 0
    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    arrays = [table.astype(dtype), index, normal(*shape, seed=1).astype(dtype)]
    assert_same(lambda x, i, v: cp.ops.scatter_rows(x, i, v, axis), arrays)


def test_what_is_scattered_may_be_computed_and_read() -> None:
    def fn(x: Any, i: Any, v: Any) -> Any:
        new = cp.ops.scatter_rows(x * 2, i, v + 1)
        return new, numpy.exp(new)[1:], cp.ops.gather_rows(new, i, 0)

    arrays = [normal(130, 9), np.array([129, 3, -1], np.int32), normal(3, 9, seed=1)]
    assert_same(fn, arrays)


def test_scattered_rows_go_nowhere_else() -> None:
    arrays = [normal(5, 4), np.array([0, 5], np.int32), normal(2, 4)]
    kernel = cp.lower(cp.solve(cp.trace(cp.ops.scatter_rows, *arrays), effort="fast"))
    with pytest.raises(cp.SimulationError, match=r"index 5, .* for 5 positions"):
        cp.simulate(kernel, *arrays)


def _row(y: Any, i: Any, v: Any) -> None:
    y[i] = v


def _middle(y: Any, i: Any, v: Any) -> None:
    y[:, i] = v


def _apart(y: Any, i: Any, v: Any) -> None:
    y[2, :, i] = v


def _window(y: Any, i: Any, v: Any) -> None:
    y[1:3, i, 0] = v


WRITES: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "rows": (_row, (3,), (3, 5, 6)),
    "a number": (_row, (2,), (1,)),
    "one place": (_middle, (), (7, 6)),
    "apart from an integer": (_apart, (2,), (2, 5)),
    "in a window": (_window, (3,), (2, 3)),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes(case: str) -> None:
    write, indices, shape = WRITES[case]

    def fn(x: Any, i: Any, v: Any) -> Any:
        y = x * 2
        write(y, i, v)
        return y

    index = np.random.default_rng(6).integers(-5, 5, indices).astype(np.int32)
    assert_same(fn, [normal(*TABLE), index, normal(*shape, seed=1)])


def test_a_cache_that_is_given_is_written_where_the_position_says() -> None:
    def step(cache: Any, position: Any, key: Any) -> None:
        cache[:, position] = key

    cache, key = normal(1, 40, 2, 8), normal(1, 2, 8, seed=1)
    want = cache.copy()
    want[:, 7] = key
    arrays = [cache, np.array(7, np.int32), key]
    cp.simulate(cp.lower(cp.solve(cp.trace(step, *arrays), effort="fast")), *arrays)
    np.testing.assert_array_equal(cache, want)


REFUSED: dict[str, tuple[Fn, type[Exception], str]] = {
    "two indices": (lambda x, i: x[i, i], ValueError, "Only one index array is supported"),
    "an array beside": (lambda x, i: x[i, [0, 1]], ValueError, "Only one index array"),
    "floats": (lambda x, i: x[i * 0.5], TypeError, "must hold integers, it is float32"),
    "a mask": (lambda x, i: x[i > 0], NotImplementedError, "traced boolean mask"),
    "ranks": (lambda x, i: numpy.take_along_axis(x, i, 0), ValueError, "same number of dims"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_line(case: str) -> None:
    function, error, message = REFUSED[case]
    with pytest.raises(error, match=rf"(?s){message}.*test_gather"):
        cp.trace(function, cp.spec((4, 4)), cp.spec((4,), "int32"))
