"""Single programs far larger than the chip, and some of awkward sizes, as tables of shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nkigen_cp.workloads import qwen3, small
from nkigen_cp.workloads.workload import Input, Workload

_DTYPES = {"f32": "float32", "bf16": "bfloat16"}

_MATMULS = (
    ("4096x8192x8192", "f32"),
    ("1500x3001x2600", "bf16"),
    ("257x1000x1030", "f32"),
)
_ATTENTION: tuple[tuple[Callable[..., Any], tuple[int, ...], str], ...] = (
    (small.sdpa, (1, 16, 2048, 128), "bf16"),
    (small.sdpa, (1, 16, 16384, 128), "bf16"),
    (small.sdpa_causal, (1, 16, 2048, 128), "bf16"),
    (small.sdpa_causal, (1, 16, 16384, 128), "bf16"),
    (small.sdpa, (1, 5, 2100, 100), "bf16"),
    (small.sdpa_causal, (1, 5, 2100, 100), "bf16"),
)
_SOFTMAX = ((4096, 32768), (1000, 5001))
_LAYERNORM = ((4096, 8192), (5000, 1001))


def rows() -> Iterator[Workload]:
    """The workloads; a name is that of the op, the shape and the dtype."""
    for sizes, short in _MATMULS:
        m, k, n = (int(size) for size in sizes.split("x"))
        yield _matmul(f"matmul_{sizes}_{short}", (m, k, n), _DTYPES[short])
    yield _matmul("matmul_lmhead_1x2048x128256_bf16", (1, 2048, 128256), "bfloat16")
    for function, shape, short in _ATTENTION:
        name = f"{function.__name__}_{'_'.join(map(str, shape))}_{short}"
        inputs = tuple(Input(arg, shape, _DTYPES[short]) for arg in "qkv")
        yield Workload(name=name, function=function, inputs=inputs)
    for m, n in _SOFTMAX:
        inputs = (Input("x", (m, n), "float32"),)
        yield Workload(name=f"softmax_{m}x{n}_f32", function=qwen3.softmax, inputs=inputs)
    for m, n in _LAYERNORM:
        inputs = (
            Input("x", (m, n), "float32"),
            Input("weight", (n,), "float32"),
            Input("bias", (n,), "float32"),
        )
        yield Workload(name=f"layernorm_{m}x{n}_f32", function=qwen3.layernorm, inputs=inputs)


def _matmul(name: str, sizes: tuple[int, int, int], dtype: str) -> Workload:
    m, k, n = sizes
    inputs = (Input("a", (m, k), dtype), Input("b", (k, n), dtype))
    return Workload(name=name, function=small.matmul, inputs=inputs)
