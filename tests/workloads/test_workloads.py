"""The workloads run in plain numpy, with the shapes and dtypes they promise."""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.workloads import WORKLOADS, Input, Workload, qwen3

BF16 = np.dtype(ml_dtypes.bfloat16)


def _small(name: str) -> list[str]:
    """Names of the 128-token variants of a workload."""
    return [n for n in WORKLOADS if n == name or n.startswith(f"{name}_s128")]


FAST = [
    *(n for p in ("swiglu_act", "rmsnorm", "softmax", "rope", "layernorm") for n in _small(p)),
    *(n for n in WORKLOADS if n.startswith(("transpose_", "reshape_", "slice_", "add_", "bias_"))),
    "sum_axis0_1024x1024",
    *(n for n in WORKLOADS if n.startswith(("argmax_", "topk", "conv"))),
    "matmul_128x128x512_f32",
    "sdpa_1_16_128_128_f32",
]


def test_names_are_those_of_the_baseline() -> None:
    assert {"rmsnorm", "rope_s2048", "softmax_s128_bf16", "matmul_gup_2d"} <= set(WORKLOADS)
    assert {"qwen3emb_layer_s128_bf16", "attention_block_s128_f32"} <= set(WORKLOADS)
    assert {"reshape_96_100_to_75_128", "transpose_3d_rev"} <= set(WORKLOADS)


@pytest.mark.parametrize("name", FAST)
def test_runs_and_is_finite(name: str) -> None:
    workload = WORKLOADS[name]
    result = workload.function(*workload.make_inputs(1), **workload.static)
    outputs = cast("tuple[Any, ...]", result if isinstance(result, tuple) else (result,))
    assert all(np.isfinite(output.astype(np.float32)).all() for output in outputs)


def test_inputs_follow_the_declaration_and_the_seed() -> None:
    workload = WORKLOADS["rope_s128_bf16"]
    first, again, other = (workload.make_inputs(seed) for seed in (3, 3, 4))
    for declared, array in zip(workload.inputs, first, strict=True):
        assert (array.shape, str(array.dtype)) == (declared.shape, declared.dtype)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_tables_are_rotations() -> None:
    cos, sin = WORKLOADS["rope"].make_inputs()[2:]
    np.testing.assert_allclose(cos**2 + sin**2, 1, rtol=1e-6)
    np.testing.assert_allclose(sin[1, 1], np.sin(1e6 ** (-2 / 128)), rtol=1e-6)


def test_projections_are_small_and_norm_weights_are_not() -> None:
    workload = WORKLOADS["attention_block_s128_bf16"]
    arrays = dict(zip((i.name for i in workload.inputs), workload.make_inputs(), strict=True))
    assert np.std(arrays["o_weight"].astype(np.float32)) == pytest.approx(0.02, rel=0.02)
    assert np.std(arrays["q_norm_weight"].astype(np.float32)) == pytest.approx(1, rel=0.3)
    assert arrays["cos"].dtype == np.float32


def _tiny_layer(dtype: str) -> Workload:
    """One layer with 8 tokens, 2 query heads and 1 key/value head of 4."""
    shapes = {
        "hidden": (1, 8, 16),
        "input_layernorm_weight": (16,),
        "qkv_weight": (16, 16),
        "o_weight": (8, 16),
        "q_norm_weight": (4,),
        "k_norm_weight": (4,),
        "cos": (8, 2),
        "sin": (8, 2),
        "post_attention_layernorm_weight": (16,),
        "gate_up_weight": (16, 24),
        "down_weight": (12, 16),
        "gate_up_bias": (24,),
        "down_bias": (16,),
    }
    inputs = tuple(
        Input(n, s, "float32" if n in {"cos", "sin"} else dtype) for n, s in shapes.items()
    )
    return Workload(name="tiny", function=qwen3.qwen3emb_layer, inputs=inputs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer_is_causal_and_keeps_its_dtype(dtype: str) -> None:
    layer = _tiny_layer(dtype)
    arrays = layer.make_inputs()
    before = layer.function(*arrays)
    changed: Any = np.array(arrays[0])
    changed[0, 5:] = 1
    after = layer.function(changed, *arrays[1:])
    assert before.dtype == arrays[0].dtype
    assert before.shape == (1, 8, 16)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.array_equal(before[:, 5:], after[:, 5:])


@pytest.mark.slow
def test_full_layer_in_both_dtypes_agrees() -> None:
    wide, narrow = (WORKLOADS[f"qwen3emb_layer_s128_{d}"] for d in ("f32", "bf16"))
    exact = wide.function(*wide.make_inputs())
    rounded = narrow.function(*narrow.make_inputs())
    assert rounded.dtype == BF16
    error = np.abs(rounded.astype(np.float32) - exact).max() / np.abs(exact).max()
    assert error < 0.05
