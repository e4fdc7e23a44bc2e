"""Causal attention in windows computes the same on fewer keys; anything else is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.rewrite.canonical import simplify
from nkigen_cp.ir.rewrite.causal import causal_windows, skip_masked_blocks
from nkigen_cp.ir.tensor.graph import Axis, DimIndex, Graph, Operand, Term, identity_index
from nkigen_cp.ir.tensor.interpret import Precision, interpret
from nkigen_cp.ir.tensor.verify import verify_graph
from nkigen_cp.workloads import WORKLOADS
from tests.ir.rewrite.sketch import Sketch

SIZE, HEADS, DEPTH = 48, 2, 4
Rows = Callable[[Any, int], Any]


def triangle(value: float = -10000.0, k: int = 1, size: int = SIZE, dtype: Any = np.float32) -> Any:
    return np.triu(np.full((size, size), value, np.float32), k=k).astype(dtype)


def plain_softmax(x: Any, axis: int) -> Any:
    exps = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return exps / np.sum(exps, axis=axis, keepdims=True)


def unshifted(x: Any, axis: int) -> Any:
    exps = np.exp(x)
    return exps / np.sum(exps, axis=axis, keepdims=True)


def attention(mask: Any, softmax: Rows = plain_softmax) -> Callable[..., Any]:
    def sdpa(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(q, np.transpose(k, (0, 2, 1))) / math.sqrt(q.shape[2])
        return np.matmul(softmax(scores + mask, -1), v)

    return sdpa


def traced(function: Callable[..., Any], size: int = SIZE) -> Graph:
    return cp.trace(function, *[cp.spec((HEADS, size, DEPTH))] * 3)


def arrays(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(t.shape) for t in graph.inputs]


EXACT: tuple[tuple[Precision, float], ...] = (("float64", 1e-12), ("graph", 2e-6))


def check(before: Graph, after: Graph, inputs: Sequence[Any]) -> None:
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    for precision, exact in EXACT:
        want = interpret(before, inputs, precision=precision).outputs
        got = interpret(after, inputs, precision=precision).outputs
        for g, w in zip(got, want, strict=True):
            # A sum in another order may round to the bfloat16 next to it.
            tolerance = 2.0**-8 if w.dtype == ml_dtypes.bfloat16 else exact
            found, wide = np.asarray(g, np.float64), np.asarray(w, np.float64)
            np.testing.assert_allclose(found, wide, tolerance, tolerance * np.abs(wide).max())


def score_work(graph: Graph, contraction: str) -> int:
    """Multiplications of a contraction, or of all the windows of it."""
    names = [n for n in graph.ops if n == contraction or n.startswith(f"{contraction}.")]
    assert names
    return sum(math.prod(a.size for a in graph.ops[n].axes) for n in names)


def scores_of(graph: Graph, depth: int, size: int) -> str:
    """The contraction over the depth of the heads whose columns are the keys."""
    (name,) = (
        op.name
        for op in graph.ops.values()
        if op.kind == "contract"
        and [a.size for a in op.axes if a.reduced] == [depth]
        and [a.size for a in op.axes if not a.reduced][-2:] == [size, size]
    )
    return name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("attention_block_s256_bf16", 2),
        ("attention_block_s256_f32", 4),
        ("qwen3emb_layer_s256_bf16", 4),
    ],
)
def test_workloads(name: str, parts: int) -> None:
    workload = WORKLOADS[name]
    inputs = workload.make_inputs(0)
    before = simplify(cp.trace(workload.function, *inputs, **dict(workload.static)))
    after = causal_windows(before, parts)
    check(before, after, inputs)
    scores = scores_of(before, 128, 256)
    assert score_work(after, scores) * 2 * parts == score_work(before, scores) * (parts + 1)
    # Only the queries' own block of keys meets the mask, and all blocks share one constant.
    (mask,) = after.constants
    assert after.tensors[mask].shape == (256 // parts, 256 // parts)
    masked = after.consumers(mask)
    assert [op.axes[-1].size for op in masked] == [256 // parts] * parts
    # From the scores to the product with the values there are 10 ops; all others are untouched.
    others = [op for op in before.ops.values() if after.ops.get(op.name) == op]
    assert len(others) == len(before.ops) - 10
    assert len(after.ops) == len(others) + 10 * parts + (parts - 1)


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize("parts", [2, 4, 5, 48, 100])
@pytest.mark.parametrize("softmax", [plain_softmax, unshifted])
def test_plain_attention(softmax: Rows, parts: int, canonical: bool) -> None:
    before = traced(attention(triangle(), softmax))
    before = simplify(before) if canonical else before
    after = causal_windows(before, parts)
    if not canonical:
        verify_graph(after)
    check(before, after, arrays(before))
    size = -(-SIZE // parts)
    ends = [min(s + size, SIZE) for s in range(0, SIZE, size)]
    scores = scores_of(before, DEPTH, SIZE)
    work = HEADS * DEPTH * sum((e - s) * e for s, e in zip([0, *ends], ends, strict=False))
    assert score_work(after, scores) == work < score_work(before, scores)


def test_result_is_numpy_with_the_whole_mask() -> None:
    function = attention(triangle())
    after = causal_windows(simplify(traced(function)), 4)
    inputs = arrays(after)
    got = np.asarray(interpret(after, inputs).outputs[0], np.float64)
    rounded = [np.asarray(x, np.float32).astype(np.float64) for x in inputs]
    np.testing.assert_allclose(got, function(*rounded), 1e-12, 1e-12)


def test_masks_of_higher_rank_and_infinite_masks() -> None:
    before = simplify(traced(attention(triangle(-math.inf)[None])))
    after = causal_windows(before, 4)
    check(before, after, arrays(before))
    assert [a.shape for a in after.constants.values()] == [(1, SIZE // 4, SIZE // 4)]


def test_keys_may_lie_in_front_of_queries() -> None:
    mask = triangle().T

    def sideways(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(k, np.transpose(q, (0, 2, 1)))
        return np.matmul(np.transpose(v, (0, 2, 1)), plain_softmax(scores + mask, -2))

    before = simplify(traced(sideways))
    after = causal_windows(before, 3)
    check(before, after, arrays(before))
    scores = scores_of(before, DEPTH, SIZE)
    assert score_work(after, scores) * 6 == score_work(before, scores) * 4


def test_one_sequence_against_itself() -> None:
    mask = triangle()

    def self_attention(x: Any, y: Any, z: Any) -> Any:
        weights = plain_softmax(np.matmul(x, np.transpose(x, (0, 2, 1))) + mask, -1)
        return np.matmul(weights, x) + y * z

    before = simplify(traced(self_attention))
    after = causal_windows(before, 4)
    check(before, after, arrays(before))
    scores = scores_of(before, DEPTH, SIZE)
    assert score_work(after, scores) * 8 == score_work(before, scores) * 5


def test_scores_narrower_than_the_mask_are_copied_past_it() -> None:
    mask = triangle()

    def narrow(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(q, np.transpose(k, (0, 2, 1))).astype(ml_dtypes.bfloat16)
        return np.matmul(plain_softmax(scores + mask, -1), v)

    before = simplify(traced(narrow))
    after = causal_windows(before, 4)
    check(before, after, arrays(before))
    past = [op for op in after.ops.values() if op.name.endswith(".past")]
    assert [op.kind for op in past] == ["copy"] * 3
    assert [op.axes[-1].size for op in past] == [12, 24, 36]


def test_scores_that_others_see_stay_whole() -> None:
    mask = triangle()

    def watched(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(q, np.transpose(k, (0, 2, 1)))
        return np.matmul(plain_softmax(scores + mask, -1), v), scores

    before = simplify(traced(watched))
    after = causal_windows(before, 2)
    check(before, after, arrays(before))
    assert [op.axes[-1].size for op in after.ops.values() if op.kind == "exp"] == [24, 48]
    scores = scores_of(before, DEPTH, SIZE)
    assert after.ops[scores] == before.ops[scores]


def test_scores_may_weigh_their_own_softmax() -> None:
    mask = triangle()

    def gated(q: Any, k: Any, v: Any) -> Any:
        scores = np.matmul(q, np.transpose(k, (0, 2, 1)))
        return np.matmul(plain_softmax(scores + mask, -1) * scores, v)

    before = simplify(traced(gated))
    after = causal_windows(before, 2)
    check(before, after, arrays(before))
    scores = scores_of(before, DEPTH, SIZE)
    assert score_work(after, scores) * 4 == score_work(before, scores) * 3


def masked_by_hand(s: Sketch, scores: str, read: Sequence[int], out: Operand) -> None:
    """Adds a causal mask to scores of two heads and two groups, read with their dims permuted."""
    axes = [Axis(name=f"a{k}", size=n) for k, n in enumerate((2, 2, SIZE, SIZE))]
    mask = Operand(tensor="mask", index=identity_index([2, 3]))
    s.add("add", axes, [Operand(tensor=scores, index=identity_index(read)), mask], out)


def test_scores_may_be_read_across() -> None:
    s = Sketch()
    s.constant("mask", triangle())
    scores = s.op("tanh", s.input("x", (2, 2, SIZE, SIZE)))
    masked = Operand(tensor=s.tensor("masked", (2, 2, SIZE, SIZE)), index=identity_index(range(4)))
    masked_by_hand(s, scores, (1, 0, 2, 3), masked)
    before = s.graph(s.reduce("sum", s.op("exp", "masked")))
    after = causal_windows(before, 3)
    verify_graph(after)
    check(before, after, arrays(before))
    assert [op.axes[3].size for op in after.ops.values() if op.kind == "tanh"] == [16, 32, 48]


def test_masked_scores_written_as_pieces_are_left_alone() -> None:
    s = Sketch()
    s.constant("mask", triangle())
    s.tensor("masked", (4, 2, SIZE, SIZE))
    for start in (0, 2):
        scores = s.op("tanh", s.input(f"x{start}", (2, 2, SIZE, SIZE)))
        group = DimIndex(offset=start, terms=(Term(axis=0),))
        piece = Operand(tensor="masked", index=(group, *identity_index((1, 2, 3))))
        masked_by_hand(s, scores, (0, 1, 2, 3), piece)
    graph = s.graph(s.reduce("sum", s.op("exp", "masked")))
    verify_graph(graph)
    assert causal_windows(graph, 3) is graph


def test_row_sums_that_others_see_are_written_as_pieces() -> None:
    mask = triangle()

    def summed(q: Any, k: Any, v: Any) -> Any:
        exps = np.exp(np.matmul(q, np.transpose(k, (0, 2, 1))) + mask)
        total = np.sum(exps, axis=-1, keepdims=True)
        return np.matmul(exps / total, v), np.log(total)

    before = simplify(traced(summed))
    after = causal_windows(before, 2)
    check(before, after, arrays(before))
    (log,) = (op for op in after.ops.values() if op.kind == "log")
    assert len(after.producers(log.operands[0].tensor)) == 2


def test_layers_share_the_block_on_the_diagonal() -> None:
    layer = attention(triangle())

    def two_layers(q: Any, k: Any, v: Any) -> Any:
        return layer(layer(q, k, v), k, v)

    before = simplify(traced(two_layers))
    after = causal_windows(before, 4)
    check(before, after, arrays(before))
    assert [op.kind for op in after.ops.values()].count("exp") == 8
    assert [a.shape for a in after.constants.values()] == [(12, 12)]


def test_one_part_is_the_graph_itself() -> None:
    graph = traced(attention(triangle()))
    assert causal_windows(graph, 1) is graph
    with pytest.raises(ArgumentError, match="at least 1 part, got 0"):
        causal_windows(graph, 0)


OTHER_MASKS = {
    "not negative enough": triangle(-5000.0),
    "a row masked as a whole": triangle(k=0),
    "one key ahead": triangle(k=2),
    "keys of the past": triangle().T,
    "more than the future": triangle() + np.eye(SIZE, dtype=np.float32),
    "a window of the past": triangle() + triangle(k=4).T,
}


@pytest.mark.parametrize("name", OTHER_MASKS)
def test_other_masks_are_left_alone(name: str) -> None:
    graph = simplify(traced(attention(OTHER_MASKS[name])))
    assert causal_windows(graph, 4) is graph


def seen(scores: Any, v: Any) -> Any:
    return np.matmul(plain_softmax(scores, -1), v), scores


def weights_seen(scores: Any, v: Any) -> Any:
    weights = plain_softmax(scores, -1)
    return np.matmul(weights, v), weights


def squashed(scores: Any, v: Any) -> Any:
    return np.matmul(np.tanh(scores), v)


def centred(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores - np.mean(scores, axis=-1, keepdims=True)), v)


def shifted_by_the_least(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores - np.min(scores, axis=-1, keepdims=True) - 1e4), v)


def shifted_by_another(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores - 1e4 * np.sum(v, axis=-1, keepdims=True)), v)


def shifted_by_a_square(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores - np.square(np.max(scores, axis=-1, keepdims=True))), v)


def shifted_by_one_number(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores - np.max(scores, axis=(-2, -1), keepdims=True)), v)


def summed_over_queries(scores: Any, v: Any) -> Any:
    exps = np.exp(scores)
    return np.matmul(exps, v), np.sum(exps, axis=(-2, -1))


def weights_seen_flat(scores: Any, v: Any) -> Any:
    weights = plain_softmax(scores, -1)
    return np.matmul(weights, v), np.exp(np.reshape(weights, (HEADS * SIZE * SIZE,)))


def over_queries(scores: Any, v: Any) -> Any:
    return np.matmul(plain_softmax(scores, -2), v)


def padded(scores: Any, v: Any) -> Any:
    return np.matmul(np.exp(scores) + 1, v)


MATTERS = (
    seen,
    weights_seen,
    weights_seen_flat,
    squashed,
    centred,
    shifted_by_the_least,
    shifted_by_another,
    shifted_by_a_square,
    shifted_by_one_number,
    summed_over_queries,
    over_queries,
    padded,
)


@pytest.mark.parametrize("use", MATTERS)
def test_masked_scores_that_matter_are_left_alone(use: Callable[[Any, Any], Any]) -> None:
    mask = triangle()

    def function(q: Any, k: Any, v: Any) -> Any:
        return use(np.matmul(q, np.transpose(k, (0, 2, 1))) + mask, v)

    graph = simplify(traced(function))
    assert causal_windows(graph, 4) is graph


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("sdpa_causal_1_16_2048_128_bf16", 8),
        ("qwen3emb_layer_s2048_bf16", 4),  # with so many other ops more are too many to plan
        ("sdpa_causal_1_5_2100_100_bf16", 4),  # eight would leave partitions idle
        ("qwen3emb_layer_s512_bf16", 2),
        ("qwen3emb_layer_s256_bf16", 1),
    ],
)
def test_windows_by_length_and_number_of_ops(name: str, windows: int) -> None:
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    before = simplify(cp.trace(workload.function, *specs, **dict(workload.static)))
    after = skip_masked_blocks(before)
    kinds = [sum(op.kind == "exp" for op in graph.ops.values()) for graph in (before, after)]
    assert kinds[1] - kinds[0] == windows - 1
