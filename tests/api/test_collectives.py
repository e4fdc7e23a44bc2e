# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
"""Collectives on several ranks, from the kernel to every rank's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp

cc = cp.collectives
numpy: Any = np
Groups = list[list[int]]
GROUPS: dict[str, Groups] = {
    "two ranks": [[0, 1]],
    "four ranks": [[0, 1, 2, 3]],
    "neighbours": [[0, 1], [2, 3]],
    "every other one": [[0, 2], [1, 3]],
    "in another order": [[2, 0, 3, 1]],
}
SHAPES = ((8,), (12, 5), (4, 3, 130))
FOLDS: dict[str, Any] = {"add": np.sum, "max": np.max, "min": np.min}


def _arrays(groups: Groups, shape: tuple[int, ...], dtype: Any = np.float32) -> list[Any]:
    generator = np.random.default_rng(3)
    drawn = [generator.normal(0, 40, shape) for _ in range(sum(map(len, groups)))]
    return [x.astype(dtype) for x in drawn]


def _group(arrays: Sequence[Any], groups: Groups, rank: int) -> tuple[list[Any], int]:
    """What a rank's group has in float64, and its place."""
    (group,) = (g for g in groups if rank in g)
    return [arrays[r].astype(np.float64) for r in group], group.index(rank)


def _assert_ranks(
    function: Callable[[Any], Any], arrays: Sequence[Any], wanted: Callable[[int], Any]
) -> None:
    """Kernel and interpreter give every rank what numpy says, and the source is legal."""
    graph = cp.trace(function, arrays[0])
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    ranks = [[x] for x in arrays]
    assert "import nki.collectives as ncc" in cp.emit_nki(kernel)
    got, meant = cp.simulate_ranks(kernel, ranks), cp.interpret_ranks(graph, ranks)
    assert len(got) == len(meant) == len(arrays)
    narrow = arrays[0].dtype == ml_dtypes.bfloat16
    for rank in range(len(arrays)):
        want = wanted(rank)
        assert got[rank].shape == meant[rank].shape == want.shape
        np.testing.assert_allclose(meant[rank], want, rtol=1e-12, atol=1e-12)
        found = got[rank].astype(np.float64)
        scale = np.max(np.abs(want)) * (2**-7 if narrow else 1e-6)
        np.testing.assert_allclose(found, want, rtol=0, atol=scale)


@pytest.mark.parametrize("case", GROUPS)
@pytest.mark.parametrize("op", FOLDS)
def test_all_reduce_of_what_is_computed(case: str, op: str) -> None:
    groups = GROUPS[case]
    arrays = _arrays(groups, (12, 5))
    _assert_ranks(
        lambda x: cc.all_reduce(x * 2 + 1, groups, op) - 3,
        arrays,
        lambda r: (
            FOLDS[op](_group(arrays, groups, r)[0], axis=0) * 2
            + (len(groups[0]) if op == "add" else 1)
            - 3
        ),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_all_reduce_of_ranks_and_dtypes(shape: tuple[int, ...], dtype: Any) -> None:
    groups = GROUPS["every other one"]
    arrays = _arrays(groups, shape, dtype)
    _assert_ranks(
        lambda x: cc.all_reduce(x, groups),
        arrays,
        lambda r: np.sum(_group(arrays, groups, r)[0], axis=0),
    )


def _cases(split: int) -> list[tuple[str, tuple[int, ...], int, Any]]:
    """(groups, shape, axis, dtype) of shapes whose axis splits into that many pieces."""
    kinds: tuple[Any, ...] = (np.float32, ml_dtypes.bfloat16)
    return [
        (case, shape, axis, kinds[(axis + len(shape)) % 2])
        for case in GROUPS
        for shape in SHAPES
        for axis in (0, *([1, -1] if case == "in another order" else []))
        if axis < len(shape) and shape[axis] % split == 0
    ]


@pytest.mark.parametrize(("case", "shape", "axis", "dtype"), _cases(1))
def test_all_gather(case: str, shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    groups = GROUPS[case]
    arrays = _arrays(groups, shape, dtype)
    _assert_ranks(
        lambda x: cc.all_gather(x, groups, axis),
        arrays,
        lambda r: np.concatenate(_group(arrays, groups, r)[0], axis=axis),
    )


@pytest.mark.parametrize(("case", "shape", "axis", "dtype"), _cases(4))
def test_reduce_scatter(case: str, shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    groups = GROUPS[case]
    arrays = _arrays(groups, shape, dtype)

    def wanted(rank: int) -> Any:
        held, place = _group(arrays, groups, rank)
        return np.split(np.max(held, axis=0), len(held), axis=axis)[place]

    _assert_ranks(lambda x: cc.reduce_scatter(x, groups, axis, numpy.maximum), arrays, wanted)


@pytest.mark.parametrize(("case", "shape", "axis", "dtype"), _cases(4))
def test_all_to_all(case: str, shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    groups = GROUPS[case]
    arrays = _arrays(groups, shape, dtype)

    def wanted(rank: int) -> Any:
        held, place = _group(arrays, groups, rank)
        return np.concatenate([np.split(x, len(held), axis=axis)[place] for x in held], axis=axis)

    _assert_ranks(lambda x: cc.all_to_all(x, groups, axis), arrays, wanted)


@pytest.mark.parametrize("op", FOLDS)
def test_integers_are_exact(op: str) -> None:
    groups = GROUPS["neighbours"]
    generator = np.random.default_rng(2)
    arrays = [generator.integers(-(2**29), 2**29, (4, 3)).astype(np.int32) for _ in range(4)]
    graph = cp.trace(
        lambda x: (cc.all_reduce(x, groups, op), cc.reduce_scatter(x, groups, 0, op)), arrays[0]
    )
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    for rank, (whole, piece) in enumerate(cp.simulate_ranks(kernel, [[x] for x in arrays])):
        first = rank // 2 * 2
        want = FOLDS[op](np.stack(arrays[first : first + 2]), axis=0)
        np.testing.assert_array_equal(whole, want)
        np.testing.assert_array_equal(piece, np.split(want, 2)[rank % 2])
        assert whole.dtype == np.int32


def test_one_after_the_other_and_a_product_over_ranks() -> None:
    """A matmul whose contraction is spread over ranks, gathered again after a row-wise function."""
    groups = [[0, 1, 2, 3]]
    generator = np.random.default_rng(4)
    x, w = generator.standard_normal((160, 256)), generator.standard_normal((256, 24))
    parts = [(x[:, k::4].astype(np.float32), w[k::4].astype(np.float32)) for k in range(4)]

    def fn(x: Any, w: Any) -> Any:
        mine = cc.reduce_scatter(x @ w, groups)
        return cc.all_gather(numpy.tanh(mine / 16), groups), numpy.sum(mine, axis=1)

    kernel = cp.lower(cp.solve(cp.trace(fn, *parts[0]), effort="fast"))
    for rank, (whole, sums) in enumerate(cp.simulate_ranks(kernel, parts)):
        np.testing.assert_allclose(whole, np.tanh(x @ w / 16), atol=1e-4)
        mine = (x @ w)[40 * rank : 40 * rank + 40]
        np.testing.assert_allclose(sums, mine.sum(axis=1), atol=1e-3)
    assert cp.count(kernel).by_kind["reduce_scatter"] == 1


def test_rank_0_and_bools() -> None:
    groups = [[0, 1]]

    def fn(x: Any) -> Any:
        return cc.all_reduce(numpy.max(x), groups), cc.all_reduce(x > 0, groups, "min")

    kernel = cp.lower(cp.solve(cp.trace(fn, cp.spec((3,))), effort="fast"))
    arrays = [np.array([1, -2, 3], np.float32), np.array([5, 6, -7], np.float32)]
    for total, both in cp.simulate_ranks(kernel, [[x] for x in arrays]):
        assert total.shape == ()
        assert total == 9
        assert both.tolist() == [True, False, False]


def test_one_rank_exchanges_nothing_also_in_numpy() -> None:
    def fn(x: Any) -> Any:
        y = cc.all_reduce(x, [[0]]), cc.all_gather(x, [[0]])
        return *y, cc.reduce_scatter(x, [[0]]), cc.all_to_all(x, [[0]])

    x = np.full((4, 3), 7, np.float32)
    x[1:, 2] = 5
    kernel = cp.lower(cp.solve(cp.trace(fn, x), effort="fast"))
    for mine, theirs in zip(cp.simulate(kernel, x), fn(x), strict=True):
        np.testing.assert_array_equal(mine, x)
        np.testing.assert_array_equal(theirs, x)


def test_plans_of_collectives_round_trip(tmp_path: Path) -> None:
    graph = cp.trace(lambda x: cc.all_gather(numpy.exp(x), [[1, 0]]), cp.spec((3, 5)))
    plan = cp.solve(graph, effort="fast")
    path = tmp_path / "plan.json"
    plan.save(path)
    again = cp.Plan.load(path)
    assert again.to_json() == plan.to_json()
    assert cp.emit_nki(cp.lower(again)) == cp.emit_nki(cp.lower(plan))
    assert "exchanges exp_1 in groups (1, 0)" in plan.explain()


def test_mutated_inputs_of_every_rank() -> None:
    def fn(x: Any) -> None:
        x[...] = x + cc.all_reduce(x, [[1, 0]])

    arrays = [np.ones((4, 2), np.float32), np.full((4, 2), 3, np.float32)]
    kernel = cp.lower(cp.solve(cp.trace(fn, arrays[0]), effort="fast"))
    cp.simulate_ranks(kernel, [[x] for x in arrays])
    assert [x[0, 0] for x in arrays] == [5, 7]


def test_time_grows_with_ranks_and_bytes() -> None:
    def latency(groups: Groups, rows: int) -> float:
        graph = cp.trace(lambda x: cc.all_reduce(x, groups), cp.spec((rows, 512)))
        return cp.estimate(cp.lower(cp.solve(graph, effort="fast"))).latency_ns

    assert latency([[0, 1]], 128) < latency([[0, 1, 2, 3]], 128) < latency([[0, 1, 2, 3]], 4096)


def test_traffic_is_what_a_rank_reads_and_writes() -> None:
    graph = cp.trace(lambda x: cc.all_gather(x, [[0, 1, 2, 3]]), cp.spec((8, 16)))
    counts = cp.count(cp.lower(cp.solve(graph, effort="fast")))
    assert (counts.hbm_read_bytes, counts.hbm_written_bytes) == (8 * 16 * 4, 32 * 16 * 4)


def test_kernels_of_several_ranks_say_so() -> None:
    graph = cp.trace(lambda x: cc.all_reduce(x, [[0, 1]]), cp.spec((4,)))
    kernel = cp.lower(cp.solve(graph, effort="fast"))
    x = np.zeros(4, np.float32)
    for run in (
        lambda: cp.simulate(kernel, x),
        lambda: cp.simulate_ranks(kernel, [[x]] * 3),
        lambda: cp.interpret(graph, x),
        lambda: cp.interpret_ranks(graph, [[x]] * 3),
    ):
        with pytest.raises(cp.ArgumentError, match=r"collectives over 2 ranks, got the arg.* [13]"):
            run()


def test_an_error_of_one_rank_ends_all() -> None:
    def fn(x: Any, i: Any) -> Any:
        return cc.all_reduce(x[i], [[0, 1]])

    x, good = np.zeros((4, 3), np.float32), np.array([1, 2], np.int32)
    kernel = cp.lower(cp.solve(cp.trace(fn, x, good), effort="fast"))
    with pytest.raises(cp.SimulationError, match="index 9"):
        cp.simulate_ranks(kernel, [[x, good], [x, good + 8]])


CAPTURED = np.ones(4)
REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a rank twice": (lambda x: cc.all_reduce(x, [[0, 1], [1, 2]]), ValueError, "ranks 0 to 3 once"),
    "a rank left out": (lambda x: cc.all_reduce(x, [[0, 2]]), ValueError, "ranks 0 to 1 once"),
    "uneven": (lambda x: cc.all_reduce(x, [[0, 1], [2]]), ValueError, "not groups of one size"),
    "none": (lambda x: cc.all_gather(x, []), ValueError, "not groups of one size"),
    "another op": (lambda x: cc.all_reduce(x, [[0]], "mul"), ValueError, "op='mul' is not one of"),
    "no axis": (lambda x: cc.all_gather(numpy.sum(x), [[0]]), ValueError, "rank 0"),
    "uneven pieces": (lambda x: cc.all_to_all(x, [[0, 1, 2]]), ValueError, "multiple of the 3"),
    "an array": (lambda x: x + cc.all_reduce(CAPTURED, [[0, 1]]), TypeError, "takes a traced"),
    "other ranks": (
        lambda x: cc.all_reduce(cc.all_reduce(x, [[0, 1]]), [[0, 1, 2]]),
        cp.GraphError,
        "over 3 ranks, others over 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    function, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        cp.solve(cp.trace(function, cp.spec((4, 4))), effort="fast")
