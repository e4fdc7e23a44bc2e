from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from nkigen_cp.frontend import spec, trace
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import interpret
from nkigen_cp.ir.tensor.verify import verify_graph
from nkigen_cp.workloads import WORKLOADS, Workload

LONG = (
    "_s256",
    "_s512",
    "_s1024",
    "_s2048",
    "_s4096",
    "2048x2048",
    "4096x",
    "embedding_gather",
    "_512_",
    "_1024_128",
    "moe_layer",
)
SHORT = [name for name in WORKLOADS if not any(part in name for part in LONG)]
FLOAT32 = [name for name in SHORT if "bf16" not in name]


def traced(workload: Workload) -> Graph:
    specs = [spec(i.shape, i.dtype) for i in workload.inputs]
    return trace(workload.function, *specs, **workload.static)


def relative_error(found: Any, expected: Any) -> float:
    wide = np.asarray(expected, np.float64)
    return float(np.max(np.abs(np.asarray(found, np.float64) - wide)) / np.max(np.abs(wide)))


@pytest.mark.parametrize("name", WORKLOADS)
def test_traces_and_verifies(name: str) -> None:
    graph = traced(WORKLOADS[name])
    verify_graph(graph)
    assert graph.input_names == tuple(i.name for i in WORKLOADS[name].inputs)


@pytest.mark.parametrize("name", FLOAT32)
def test_float32_agrees_with_numpy(name: str) -> None:
    workload = WORKLOADS[name]
    inputs = workload.make_inputs()
    returned = workload.function(*inputs, **workload.static)
    expected = cast("tuple[Any]", returned if isinstance(returned, tuple) else (returned,))
    graph = traced(workload)
    for precision in ("float64", "graph"):
        outputs = interpret(graph, inputs, precision=precision).outputs
        for found, want in zip(outputs, expected, strict=True):
            assert relative_error(found, want) < 1e-5


@pytest.mark.parametrize("name", ["rope_s128_bf16", "qwen3emb_layer_s128_bf16"])
def test_bfloat16_rounds_as_the_graph_says(name: str) -> None:
    workload = WORKLOADS[name]
    graph, inputs = traced(workload), workload.make_inputs()
    exact = interpret(graph, inputs).outputs
    rounded = interpret(graph, inputs, precision="graph").outputs
    for found, want, tensor in zip(rounded, exact, graph.outputs, strict=True):
        assert found.dtype == tensor.dtype.numpy
        assert want.dtype == np.float64
        assert 0 < relative_error(found, want) < 2e-2


def test_layer_names_follow_the_program() -> None:
    names = traced(WORKLOADS["qwen3emb_layer_s128_bf16"]).tensors
    wanted = [
        "residual",
        "residual.qkv",
        "residual.merged.scores",
        "residual.merged.mask",
        "normed",
    ]
    assert [name for name in wanted if name not in names] == []
