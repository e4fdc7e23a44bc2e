"""Factors that normalise rows move behind contractions where that saves a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nkigen_cp as cp
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Axis, Graph, Op, Operand, identity_index
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.workloads.small import sdpa_causal
from tests.ir.rewrite.sketch import Sketch, check

Function = Callable[..., Any]
M, K, N = 6, 16, 4


def softmax(x: Any, axis: int = -1) -> Any:
    exps = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return exps / np.sum(exps, axis=axis, keepdims=True)


def weighted(x: Any, v: Any) -> Any:
    return softmax(x) @ v


def unshifted(x: Any, v: Any) -> Any:
    exps = np.exp(x)
    return (exps / np.sum(exps, axis=-1, keepdims=True)) @ v


def from_the_right(x: Any, v: Any) -> Any:
    return v.T @ softmax(x).T


def over_columns(x: Any, v: Any) -> Any:
    """The softmax runs over the first axis, which the contraction reduces."""
    return softmax(x.T, 0).T @ v


def rms(x: Any, v: Any) -> Any:
    return (x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + 1e-6)) @ v


def centred(x: Any, v: Any) -> Any:
    difference = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(np.square(difference), axis=-1, keepdims=True)
    return (difference / np.sqrt(variance + 1e-6)) @ v


MOVED = (weighted, unshifted, from_the_right, over_columns, rms, centred)


def weighted_features(x: Any, v: Any) -> Any:
    scale = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + 1e-6)
    return (x / scale * v[:, 0]) @ v


def over_rows(x: Any, v: Any) -> Any:
    """The factor belongs to what the contraction reduces."""
    return softmax(x, 0) @ v


def given_factors(x: Any, v: Any) -> Any:
    """Nothing bounds ``x`` beside a factor of the user's own."""
    return (x * v[:M, :1]) @ v


def own_element(x: Any, v: Any) -> Any:
    """The factor follows from ``x`` without a reduction."""
    return (x * np.exp(x[:, :1])) @ v


def of_another_sum(x: Any, v: Any) -> Any:
    """What is reduced is not ``x`` but its product with something else."""
    return (x / np.max(np.square(x @ v), axis=-1, keepdims=True)) @ v


def seen(x: Any, v: Any) -> Any:
    weights = softmax(x)
    return weights @ v, weights


def with_itself(x: Any, v: Any) -> Any:
    weights = softmax(x)
    return weights @ weights.T, v * 2


def wide(x: Any, v: Any) -> Any:
    """As many results as factors to apply."""
    return softmax(x) @ (v @ np.full((N, K), 0.5, v.dtype))


STAY = (
    weighted_features,
    over_rows,
    given_factors,
    own_element,
    of_another_sum,
    seen,
    with_itself,
    wide,
)


def traced(function: Function, dtype: str = "float32") -> Graph:
    return cp.trace(function, cp.spec((M, K), dtype), cp.spec((K, N), dtype))


def arrays(seed: int = 0, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N))]


def scaled_results(graph: Graph) -> list[Op]:
    """Products of what a contraction yields with another tensor."""
    contracted = {op.outputs[0].tensor for op in graph.ops.values() if op.kind == "contract"}
    return [
        op
        for op in graph.ops.values()
        if op.kind == "multiply"
        and len(op.operands) == 2
        and any(o.tensor in contracted for o in op.operands)
    ]


def same(graph: Graph, core: Graph, inputs: list[Any]) -> None:
    pairs = zip(interpret(graph, inputs).outputs, interpret(core, inputs).outputs, strict=True)
    for want, got in pairs:
        np.testing.assert_allclose(
            np.asarray(got, np.float64), np.asarray(want, np.float64), 1e-11, 1e-12
        )


@pytest.mark.parametrize("function", MOVED)
def test_factors_of_normalised_rows_move(function: Function) -> None:
    graph = traced(function)
    core = canonicalise(graph)
    (product,) = scaled_results(core)
    assert product.outputs[0].tensor in core.output_names
    unscaled = product.operands[0].tensor
    assert core.tensors[unscaled].size == M * N
    same(graph, core, arrays())


@pytest.mark.parametrize("function", STAY)
def test_other_factors_stay(function: Function) -> None:
    graph = traced(function)
    core = canonicalise(graph)
    assert scaled_results(core) == []
    same(graph, core, arrays())


def test_windows_of_one_result_are_scaled_each_by_itself() -> None:
    graph = cp.trace(sdpa_causal, *[cp.spec((1, 1, 512, 8))] * 3)
    core = canonicalise(graph, assume_masked=True)
    products = scaled_results(core)
    written = [op.outputs[0] for op in products]
    assert {o.tensor for o in written} == set(core.output_names)
    assert [o.index[2].offset for o in written] == [0, 256]
    assert all(core.tensors[op.operands[0].tensor].size == 256 * 8 for op in products)
    rng = np.random.default_rng(0)
    same(graph, core, [rng.standard_normal((1, 1, 512, 8)).astype(np.float32) for _ in "qkv"])


def test_the_sum_is_rounded_once() -> None:
    core = canonicalise(traced(weighted, "bfloat16"))
    (product,) = scaled_results(core)
    (contraction,) = (op for op in core.ops.values() if op.kind == "contract")
    read = [core.tensors[o.tensor].dtype.name for o in contraction.operands]
    assert read == ["bfloat16"] * 2
    assert core.tensors[contraction.outputs[0].tensor].dtype.name == "float32"
    assert core.tensors[product.outputs[0].tensor].dtype.name == "bfloat16"


def test_narrow_results_are_at_least_as_near() -> None:
    """Over many softmaxes: no weight is rounded after it is normalised."""
    graph = traced(weighted, "bfloat16")
    core = canonicalise(graph)
    before: list[float] = []
    after: list[float] = []
    for seed in range(40):
        inputs = arrays(seed, ml_dtypes.bfloat16)
        exact = np.asarray(interpret(graph, inputs).outputs[0], np.float64)
        for found, errors in ((graph, before), (core, after)):
            got = interpret(found, inputs, precision="graph").outputs[0]
            errors.append(float(np.mean(np.abs(np.asarray(got, np.float64) - exact))))
    assert np.mean(after) < np.mean(before)


def test_a_cast_would_be_a_pass_as_well() -> None:
    def attend(x: Any, v: Any) -> Any:
        return softmax(x.astype(np.float32)).astype(x.dtype) @ v

    graph = traced(attend, "bfloat16")
    core = canonicalise(graph)
    assert scaled_results(core) == []
    assert "copy" not in [op.kind for op in core.ops.values()]


def test_both_operands_may_lose_their_factors() -> None:
    def both(x: Any, y: Any) -> Any:
        return softmax(x) @ softmax(y).T

    graph = cp.trace(both, cp.spec((M, K)), cp.spec((N, K)))
    core = canonicalise(graph)
    assert len([op for op in core.ops.values() if op.kind == "reciprocal"]) == 2
    kinds = [op.kind for op in core.topological()]
    assert kinds[-3:] == ["contract", "multiply", "multiply"]
    rng = np.random.default_rng(0)
    same(graph, core, [rng.standard_normal((M, K)), rng.standard_normal((N, K))])


def test_a_product_with_itself_keeps_its_factors() -> None:
    """Read twice by one contraction, in both of its roles."""
    s = Sketch()
    x = s.input("x", (M, K))
    weights = s.op("multiply", x, s.op("reciprocal", s.reduce("max", x)))
    axes = [Axis(name=f"a{k}", size=n, reduced=k == 2) for k, n in enumerate((M, M, K))]
    reads = [Operand(tensor=weights, index=identity_index([k, 2])) for k in (0, 1)]
    out = Operand(tensor=s.tensor("gram", (M, M)), index=identity_index([0, 1]))
    before = s.graph(s.add("contract", axes, reads, out))
    after = canonicalise(before)
    assert scaled_results(after) == []
    check(before, after)


def attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * 0.125
    return np.matmul(softmax(scores if mask is None else scores + mask), v)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lead", [(), (3,), (1, 2)])
def test_passes_over_the_scores_of_an_attention(lead: tuple[int, ...], masked: bool) -> None:
    """Scale, mask, maximum, exp and its sum; nothing is subtracted, nothing normalised there."""
    seq, depth = 1024, 8
    specs = [cp.spec((*lead, seq, depth))] * 3 + [cp.spec((seq, seq))] * masked
    graph = cp.trace(attention, *specs)
    core = canonicalise(graph)
    size = seq * seq * max(1, int(np.prod(lead)))
    full = [
        op.kind
        for op in core.topological()
        if any(core.tensors[o.tensor].size == size for o in (*op.operands, *op.outputs))
    ]
    passes = ["contract", "multiply", *["add"] * masked, "max", "add", "exp"]
    assert full[: len(passes)] == passes
    assert sorted(full[len(passes) :]) == ["contract", "sum"]
    # The maximum is taken tile by tile, but for a mask that is itself as large as the scores.
    stages = 1 if masked and not lead else 2
    assert [op.kind for op in core.topological()].count("max") == stages


def test_rows_without_a_finite_factor() -> None:
    """Sums of 0, infinities and NaN spoil their own row, as before, and no other."""
    x = np.array(arrays()[0])
    x[0], x[1, 3], x[2, 5], x[3] = -np.inf, np.inf, np.nan, -800.0
    v = arrays()[1]
    for function, dead in ((unshifted, [0, 1, 2, 3]), (weighted, [0, 1, 2])):
        graph = traced(function)
        want = np.asarray(interpret(graph, [x, v]).outputs[0], np.float64)
        got = np.asarray(interpret(canonicalise(graph), [x, v]).outputs[0], np.float64)
        np.testing.assert_allclose(got, want, 1e-11)
        assert np.isnan(got[dead]).all()
        assert np.isfinite(np.delete(got, dead, axis=0)).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    function=st.sampled_from((*MOVED, *STAY, attention)),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 5)),
    batch=st.sampled_from(((), (1,), (2,), (2, 3))),
    dtype=st.sampled_from(("float32", "bfloat16")),
    precision=st.sampled_from(("exact", "bf16")),
    seed=st.integers(0, 3),
)
def test_meaning_and_fixpoint(
    function: Function,
    sizes: tuple[int, int, int],
    batch: tuple[int, ...],
    dtype: str,
    precision: str,
    seed: int,
) -> None:
    m, k, n = sizes
    if function is attention:
        shapes = [(*batch, m, n), (*batch, k, n), (*batch, k, n)]
    else:
        shapes = [(m, k), (k, n)]
    graph = cp.trace(_clipped(function, m), *(cp.spec(s, dtype) for s in shapes))
    core = canonicalise(graph, matmul_precision=precision)
    rng = np.random.default_rng(seed)
    same(graph, core, [rng.uniform(-2.0, 2.0, s) for s in shapes])
    again = canonicalise(core, matmul_precision=precision)
    assert list(again.ops.items()) == list(core.ops.items())


def _clipped(function: Function, rows: int) -> Function:
    """The functions of this file at other sizes than ``M``, ``K`` and ``N``."""

    def clipped(x: Any, v: Any, *others: Any) -> Any:
        if function is given_factors:
            return (x * np.sum(v) if rows > v.shape[0] else x * v[:rows, :1]) @ v
        if function is wide:
            return softmax(x) @ (v @ np.full((v.shape[1], v.shape[0]), 0.5, v.dtype))
        return function(x, v, *others)

    return clipped
