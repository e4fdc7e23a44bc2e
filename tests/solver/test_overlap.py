"""Parts of an axis overlap loads, work and stores, where SBUF holds all of a program at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit, split_axes
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.schedule import scheduled
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.solve import canonical, planned_program, solve_graph
from nkigen_cp.solver.structure import Structure
from nkigen_cp.solver.structure.grow import proposals
from nkigen_cp.solver.structure.overlap import overlapping
from nkigen_cp.targets import TRN2

Shapes = tuple[tuple[int, ...], ...]


def _exp(x: Any) -> Any:
    return np.exp(x)


def _softmax(x: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


def _product(x: Any, w: Any) -> Any:
    return x @ w


def _graph(function: Callable[..., Any], shapes: Shapes) -> Graph:
    return canonical(cp.trace(function, *(cp.spec(s) for s in shapes)), Options(effort="fast"))


def _parts(function: Callable[..., Any], *shapes: tuple[int, ...]) -> list[Structure]:
    graph = _graph(function, shapes)
    return [p.structure for p in overlapping(graph, TRN2, proposals(graph, TRN2))]


def test_parts_of_an_even_axis_are_iterations() -> None:
    (found,) = _parts(_softmax, (1024, 2048))
    assert not found.splits
    assert [k.trips for k in found.loops] == [8]


def test_blocks_may_leave_some_partitions_idle() -> None:
    (found,) = _parts(_softmax, (1000, 5001))
    assert not found.splits
    assert [k.trips for k in found.loops] == [8]


def test_parts_of_an_uneven_axis_are_windows() -> None:
    (found,) = _parts(_product, (257, 1000), (1000, 1030))
    assert found.splits == (AxisSplit(tensor="w", dim=1, at=(512,)),)
    assert not found.loops


def test_a_reduced_axis_is_taken_in_windows_inside_the_loops() -> None:
    (found,) = _parts(_softmax, (1024, 32768))
    (split,) = found.splits
    assert split == AxisSplit(tensor="x", dim=1, at=tuple(range(2048, 32768, 2048)))
    assert [k.trips for k in found.loops] == [8]


@pytest.mark.parametrize(
    "shape",
    [(256, 1024), (8192, 8192)],
    ids=["too small to be worth it", "many iterations in SBUF"],
)
def test_other_programs_stay_as_they_are(shape: tuple[int, int]) -> None:
    assert _parts(_exp, shape) == []


CASES: dict[str, tuple[Callable[..., Any], Shapes, float]] = {
    "loop over rows": (_softmax, ((500, 4099),), 0.85),
    "windows of columns": (_product, ((129, 300), (300, 1800)), 0.95),
    "windows inside a loop": (_softmax, ((256, 32768),), 0.8),
}
"""Function, shapes, and the part of the time that is left at most."""


@pytest.mark.parametrize("name", CASES)
def test_parts_save_time_and_compute_the_same(name: str) -> None:
    function, shapes, share = CASES[name]
    graph = cp.trace(function, *(cp.spec(s) for s in shapes))
    plan = cp.solve(graph, effort="fast")
    kernel = cp.lower(plan)
    whole = solve_graph(graph, TRN2, Options(effort="fast"))  # no clock: nothing is taken apart
    assert not whole.splits
    ordered = scheduled(planned_program(graph, whole), whole, TRN2)
    plain = cp.lower(cp.Plan(data=ordered, graph=graph, target=TRN2))
    assert cp.estimate(kernel).latency_ns <= share * cp.estimate(plain).latency_ns
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(s), np.float32) for s in shapes]
    found: Any = cp.simulate(kernel, *arrays)
    np.testing.assert_allclose(found, function(*arrays), rtol=1e-4, atol=1e-4)


def test_a_cut_of_an_input_reaches_its_windows() -> None:
    graph = split_axes(_graph(_exp, ((512, 2048),)), [AxisSplit(tensor="x", dim=1, at=(1024,))])
    program = refine(graph, [Cut(tensor="x", dim=0, inner=128)])
    assert {t: program.tensors[t].shape for t in program.windows} == {
        "x.0": (512, 1024),
        "x.1": (512, 1024),
    }
    for op in program.ops.values():
        assert [d.size for d in op.digits] == [4, 128, 1024]


@pytest.mark.parametrize(("columns", "stored"), [(4096, 2), (512, 0)])
def test_windows_of_an_output_are_stored_apart_if_their_rows_are_long(
    columns: int, stored: int
) -> None:
    """Short ones share a form, and a DMA."""
    graph = _graph(_exp, ((128, columns),))
    split = AxisSplit(tensor="x", dim=1, at=(columns // 2,))
    assert len(refine(split_axes(graph, [split])).pieces) == stored
