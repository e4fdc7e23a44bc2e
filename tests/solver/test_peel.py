"""Axes that no block divides: windows are chosen where nothing fits without, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.plan import Load, Options, Store
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure.peel import awkward_axes
from nkigen_cp.workloads import WORKLOADS


def _exp(x: Any) -> Any:
    return np.exp(x)


def _softmax(x: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


def _product(x: Any, w: Any) -> Any:
    return x @ w


def _target(sbuf_bytes: int) -> cp.Target:
    return replace(cp.TRN2, sbuf_partition_bytes=sbuf_bytes)


def _plan(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...], sbuf: int) -> cp.Plan:
    graph = cp.trace(function, *(cp.spec(s) for s in shapes))
    return cp.solve(graph, _target(sbuf), effort="fast")


ODD: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...], int, float]] = {
    "rows": (_exp, ((1009, 257),), 6000, 1.0),
    "rows and columns": (_exp, ((1009, 4099),), 6000, 1.0),
    "rows of a softmax": (_softmax, ((1009, 257),), 6000, 1.0),
    "columns of a softmax": (_softmax, ((100, 5003),), 8000, 2.6),
    "rows and columns of a product": (_product, ((1009, 257), (257, 521)), 10_000, 1.1),
}
"""Function, shapes, bytes of SBUF per partition, most HBM traffic of what there must be."""


@pytest.mark.parametrize("name", ODD)
def test_prime_sizes_are_computed_in_windows(name: str) -> None:
    function, shapes, sbuf, traffic = ODD[name]
    plan = _plan(function, shapes, sbuf)
    assert plan.data.splits
    assert plan.data.loops
    kernel = cp.lower(plan)
    assert cp.count(kernel).ratio <= traffic
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(s), np.float32) for s in shapes]
    found: Any = cp.simulate(kernel, *arrays)
    np.testing.assert_allclose(found, function(*arrays), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1009, 257), (1024, 256)])
def test_what_fits_whole_or_has_blocks_is_not_split(shape: tuple[int, int]) -> None:
    sbuf = 6000 if shape[0] == 1024 else 100_000
    assert not _plan(_exp, (shape,), sbuf).data.splits


def test_the_main_part_ends_with_a_full_set_of_partitions() -> None:
    graph = canonical(cp.trace(_exp, cp.spec((5003, 1024))), Options(effort="fast"))
    assert awkward_axes(graph, cp.TRN2) == [AxisSplit(tensor="x", dim=0, at=(4992,))]


def test_windows_survive_the_plan_file(tmp_path: Any) -> None:
    plan = _plan(_exp, ((1009, 257),), 6000)
    plan.save(tmp_path / "plan.json")
    again = cp.Plan.load(tmp_path / "plan.json")
    assert again.data.splits == plan.data.splits
    assert again.to_json() == plan.to_json()


def test_a_window_is_reached_position_by_position() -> None:
    """Several blocks of rows of a window are no box of the whole, of which none is a multiple."""
    plan = _plan(_exp, ((5003, 1024),), 20_000)
    for kind in (Load, Store):
        step = next(
            s
            for s in plan.data.steps
            if isinstance(s.spec, kind) and any(t.block == 1 for t in s.spec.loops)
        )
        assert isinstance(step.spec, (Load, Store))
        wide = tuple(t for t in step.spec.loops if t.block != 1)
        broken = replace(step, spec=replace(step.spec, loops=wide))
        steps = tuple(broken if s is step else s for s in plan.data.steps)
        with pytest.raises(cp.PlanError, match="breaks rule 'windows'"):
            check_plan(plan.program, replace(plan.data, steps=steps), plan.target)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "matmul_1500x3001x2600_bf16",
        "matmul_257x1000x1030_f32",
        "softmax_1000x5001_f32",
        "layernorm_5000x1001_f32",
        "sdpa_1_5_2100_100_bf16",
        "sdpa_causal_1_5_2100_100_bf16",
    ],
)
def test_odd_workloads_move_what_they_must(name: str) -> None:
    workload = WORKLOADS[name]
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    graph = cp.trace(workload.function, *specs, **workload.static)
    precision = "bf16" if "bf16" in name else "exact"
    plan = cp.solve(graph, effort="fast", matmul_precision=precision)
    assert cp.count(cp.lower(plan)).ratio <= 1.05
