"""The rewrites on traced workloads, at sizes small enough to evaluate in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from nkigen_cp.frontend.tracing import spec, trace
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.workloads import WORKLOADS, qwen3
from tests.ir.rewrite.sketch import check

S, H, N, K, D = 4, 8, 4, 2, 4
WIDE = 6

NORM = [(1, S, H), (H,)]
TABLES = [(S, D // 2), (S, D // 2)]
ATTENTION = [(1, S, H), (H,), (H, (N + 2 * K) * D), (N * D, H), (D,), (D,)]
FORWARD = [(H, 2 * WIDE), (WIDE, H), (2 * WIDE,), (H,)]

CASES: list[tuple[Callable[..., Any], list[tuple[int, ...]], dict[str, int]]] = [
    (qwen3.swiglu_act, [(1, S, WIDE), (1, S, WIDE)], {"silu": 1, "multiply": 1}),
    (
        qwen3.rmsnorm,
        NORM,
        {"square": 1, "sum": 1, "multiply": 3, "add": 1, "rsqrt": 1},
    ),
    (
        qwen3.layernorm,
        [*NORM, (H,)],
        {"sum": 2, "multiply": 4, "subtract": 1, "square": 1, "add": 2, "rsqrt": 1},
    ),
    (
        qwen3.softmax,
        [(1, N, S, S)],
        {"max": 1, "add": 1, "exp": 1, "sum": 1, "reciprocal": 1, "multiply": 2},
    ),
    (
        qwen3.feedforward,
        [(1, S, H), *FORWARD],
        {"contract": 2, "add": 2, "copy": 2, "silu": 1, "multiply": 1},
    ),
]


def traced(function: Callable[..., Any], shapes: list[tuple[int, ...]], dtype: str) -> Graph:
    tables = range(6, 8) if len(shapes) > 6 else range(0)
    return trace(
        function,
        *(spec(s, "float32" if k in tables else dtype) for k, s in enumerate(shapes)),
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("function", "shapes", "kinds"), CASES, ids=[c[0].__name__ for c in CASES])
def test_patterns(
    function: Callable[..., Any],
    shapes: list[tuple[int, ...]],
    kinds: dict[str, int],
    dtype: str,
) -> None:
    before = traced(function, shapes, dtype)
    after = canonicalise(before)
    assert Counter(op.kind for op in after.ops.values()) == kinds
    check(before, after)


@pytest.mark.parametrize("precision", ["exact", "bf16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (qwen3.attention_block, [*ATTENTION, *TABLES]),
        (qwen3.qwen3emb_layer, [*ATTENTION, *TABLES, (H,), *FORWARD]),
    ],
)
def test_layers(
    function: Callable[..., Any], shapes: list[tuple[int, ...]], dtype: str, precision: str
) -> None:
    before = traced(function, shapes, dtype)
    after = canonicalise(before, matmul_precision=precision)
    check(before, after)
    for op in after.ops.values():
        if op.kind == "contract":
            assert len({after.tensors[o.tensor].dtype for o in op.operands}) == 1


@pytest.mark.parametrize("name", ["attention_block_s128_bf16", "qwen3emb_layer_s128_bf16"])
def test_bfloat16_layers_need_no_casts(name: str) -> None:
    workload = WORKLOADS[name]
    specs = [spec(i.shape, i.dtype) for i in workload.inputs]
    graph = canonicalise(trace(workload.function, *specs, **workload.static))
    for op in graph.ops.values():
        if op.kind == "copy":
            source, result = op.operands[0].tensor, op.outputs[0].tensor
            assert graph.tensors[source].dtype == graph.tensors[result].dtype
