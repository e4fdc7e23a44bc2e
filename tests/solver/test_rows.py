"""Several rows per partition, where rows of a tensor in HBM are too short for DMAs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.solve import Request, canonical
from nkigen_cp.solver.structure import Structure
from nkigen_cp.solver.structure.rows import in_long_rows
from nkigen_cp.targets import TRN2
from nkigen_cp.workloads.small import sdpa_causal

Shape = tuple[int, ...]


def _turned(x: Any, k: Any) -> Any:
    return x @ k.T


def _sums(x: Any) -> Any:
    return np.cumsum(x, axis=0)


def _picked(x: Any, i: Any) -> Any:
    return x[i]


def _graph(function: Callable[..., Any], *specs: Any) -> Graph:
    return canonical(cp.trace(function, *specs), Options(effort="fast"))


def _cuts(function: Callable[..., Any], *specs: Any) -> tuple[Cut, ...]:
    first, *_ = in_long_rows(_graph(function, *specs), TRN2, [Structure()])
    return first.cuts


@pytest.mark.parametrize(
    ("rows", "columns", "dtype", "lines"),
    [
        (8192, 128, "bfloat16", 8),  # 2 KiB; 1.3 KiB are enough
        (8192, 512, "bfloat16", 2),
        (4096, 128, "float32", 4),  # engines step over 16 bytes
        (4096 + 512, 128, "bfloat16", 4),  # the most that fill all partitions
    ],
)
def test_as_many_rows_as_a_descriptor_needs(
    rows: int, columns: int, dtype: str, lines: int
) -> None:
    found = _cuts(_turned, cp.spec((128, columns), dtype), cp.spec((rows, columns), dtype))
    assert found == (Cut(tensor="k", dim=0, inner=lines),)


@pytest.mark.parametrize(
    ("function", "specs"),
    [
        (_turned, (cp.spec((128, 128), "bfloat16"), cp.spec((512, 128), "bfloat16"))),  # small
        (_turned, (cp.spec((128, 1024), "bfloat16"), cp.spec((2048, 1024), "bfloat16"))),  # long
        (_turned, (cp.spec((128, 128), "bfloat16"), cp.spec((8193, 128), "bfloat16"))),
        (_sums, (cp.spec((8192, 64)),)),  # one running sum, never taken apart
        (_picked, (cp.spec((65536, 64)), cp.spec((16384,), "int32"))),
    ],
)
def test_nothing_is_cut_without_need_or_use(
    function: Callable[..., Any], specs: tuple[Any, ...]
) -> None:
    assert _cuts(function, *specs) == ()


def test_windows_of_a_causal_attention_keep_full_partitions() -> None:
    graph = _graph(sdpa_causal, *(cp.spec((1, 4, 1024, 128), "bfloat16") for _ in "qkv"))
    first, plain = in_long_rows(graph, TRN2, [Structure()])
    assert plain == Structure()
    # The last window has all keys, the first one 256: two rows on each of 128 partitions.
    assert Cut(tensor="k", dim=2, inner=2) in first.cuts
    assert {c.inner for c in first.cuts} == {2}


def test_results_are_those_of_numpy_under_a_causal_mask() -> None:
    rng = np.random.default_rng(0)
    shape = (1, 8, 512, 128)
    inputs = [rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for _ in "qkv"]
    graph = cp.trace(sdpa_causal, *inputs)
    plan = cp.solve(graph, effort="fast", matmul_precision="bf16")
    assert any(c.inner == 2 for c in plan.data.cuts)
    result = cp.simulate(cp.lower(plan), *inputs)
    expected = sdpa_causal(*(i.astype(np.float64) for i in inputs))
    np.testing.assert_allclose(result.astype(np.float64), expected, atol=0.03)


def test_a_product_is_numpys_and_its_loads_take_less() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((100, 128)).astype(np.float32)
    k = rng.standard_normal((4096, 128)).astype(np.float32)
    graph = cp.trace(_turned, x, k)
    plan = cp.solve(graph, effort="fast")
    result = cp.simulate(cp.lower(plan), x, k)
    np.testing.assert_allclose(
        result, _turned(x.astype(np.float64), k.astype(np.float64)), rtol=1e-4, atol=1e-3
    )
    assert plan.data.cuts == (Cut(tensor="k", dim=0, inner=4),)
    core, options = canonical(graph, plan.options), plan.options
    plain = Request(graph, core, TRN2, options, None, None, None).unordered(Structure())
    assert plan.data.busy_ns["dma"] < 0.8 * plain.busy_ns["dma"]
