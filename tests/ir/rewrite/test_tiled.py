"""Reductions of contractions are staged at the PSUM tile; all others stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.cuts import find_cuts
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.tiled import PARTITIONS, TILE, stage_tiled_reductions
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.targets import TARGETS
from nkigen_cp.workloads.small import sdpa_causal

Function = Callable[..., Any]


def _scores(q: Any, k: Any) -> Any:
    return (q @ k.T) * 0.088


def peak(q: Any, k: Any) -> Any:
    return np.max(_scores(q, k), axis=-1, keepdims=True)


def centred(q: Any, k: Any) -> Any:
    scores = _scores(q, k)
    return scores - np.max(scores, axis=-1, keepdims=True)


def total(q: Any, k: Any) -> Any:
    return np.sum(np.exp(_scores(q, k)), axis=-1)


def least_column(q: Any, k: Any) -> Any:
    return np.min(k @ q.T, axis=0)


def heads(q: Any, k: Any) -> Any:
    return np.max(np.reshape(_scores(q, k), (len(q), 2, 3, -1)), axis=(2, 3))


def softmax_sum(q: Any, k: Any) -> Any:
    return np.sum(np.exp(centred(q, k)), axis=-1)


def plain(q: Any, k: Any) -> Any:
    return np.max(k.T, axis=-1) + np.max(q)


def regrouped(q: Any, k: Any) -> Any:
    scores = _scores(q, k)
    return np.max(scores, axis=-1), np.exp(np.reshape(scores, (len(q), 3, -1)))


def _staged(fn: Function, keys: int, dtype: str = "float32") -> tuple[Graph, Graph]:
    """The traced graph and its core graph with the stages."""
    graph = cp.trace(fn, cp.spec((96, 64), dtype), cp.spec((keys, 64), dtype))
    draft = Draft(canonicalise(graph))
    stage_tiled_reductions(draft)
    return graph, draft.freeze()


def _reduced(graph: Graph) -> list[list[int]]:
    """Sizes of the axes that every reduction reduces, size 1 left out."""
    ops = [o for o in graph.topological() if OPS[o.kind].family is Family.REDUCE]
    return [[a.size for a in o.axes if a.reduced and a.size > 1] for o in ops]


@pytest.mark.parametrize(
    ("fn", "keys", "stages"),
    [
        (peak, 1024, [[512], [2]]),
        (peak, 8192, [[512], [16]]),
        (peak, 1000, [[500], [2]]),
        (peak, 1006, [[503], [2]]),
        (centred, 1024, [[512], [2]]),
        (total, 1536, [[512], [3]]),
        (least_column, 1024, [[512], [2]]),
        (heads, 2400, [[400], [3]]),
        (heads, 1800, [[300], [3]]),
    ],
)
def test_long_rows_are_reduced_tile_by_tile(
    fn: Function, keys: int, stages: list[list[int]]
) -> None:
    graph, staged = _staged(fn, keys)
    assert _reduced(staged) == stages
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((96, 64)), rng.standard_normal((keys, 64))]
    want = interpret(graph, arrays).outputs[0]
    assert np.allclose(interpret(staged, arrays).outputs[0], want, rtol=1e-12)


@pytest.mark.parametrize(
    ("fn", "keys", "rows"),
    [
        (peak, 512, [[512]]),  # one tile has it all
        (peak, 1009, [[1009]]),  # no equal tiles
        (peak, 1408, [[1408]]),  # tiles of 352 keys would be 12 blocks of partitions, not 11
        (peak, 2062, [[2062]]),  # tiles of 2 keys
        (plain, 1024, [[1024], [64], [96]]),  # no contraction
    ],
)
def test_other_reductions_stay(fn: Function, keys: int, rows: list[list[int]]) -> None:
    _, staged = _staged(fn, keys)
    assert _reduced(staged) == rows


def test_what_depends_on_the_whole_row_is_not_staged() -> None:
    _, staged = _staged(softmax_sum, 1024)
    assert _reduced(staged) == [[512], [2], [1024]]


def test_windows_are_staged_all_or_none() -> None:
    """Scores of later windows come from two contractions, so the first one is not cut either."""
    graph = cp.trace(sdpa_causal, *[cp.spec((1, 1, 4096, 16), "bfloat16")] * 3)
    core = canonicalise(graph, matmul_precision="bf16", assume_masked=True)
    widths = range(512, 4096 + 512, 512)
    assert _reduced(core) == [[n] for n in widths for _ in ("maximum", "sum")]


def test_no_view_becomes_a_conversion_for_it() -> None:
    """768 keys would be cut at 384, the reshape cuts them at 256."""
    _, staged = _staged(regrouped, 768)
    assert find_cuts(staged).opaque == ()
    assert _reduced(staged) == [[768]]


@pytest.mark.parametrize(("fn", "dtype"), [(peak, "bfloat16"), (total, "float32")])
def test_partial_results_lose_nothing(fn: Function, dtype: str) -> None:
    """A maximum of rounded values is one of them; sums wait for the last stage to be rounded."""
    _, staged = _staged(fn, 1024, "bfloat16")
    partial = [t for t in staged.tensors.values() if t.shape == (96, 2)]
    assert [t.dtype.name for t in partial] == [dtype]


def test_the_tile_is_a_bank_of_every_target() -> None:
    assert {t.psum_bank_bytes for t in TARGETS.values()} == {TILE * FLOAT32.size_bytes}
    assert {t.partitions for t in TARGETS.values()} == {PARTITIONS}
