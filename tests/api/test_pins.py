"""Pins, from what a user asks for to arrays: the plan does it, and the kernel stays right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError, PlanError
from nkigen_cp.report.model import Report, StepLine
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.plan.pins import AnyPin
from tests.api import pinned


def _step(report: Report, tensor: str) -> StepLine:
    return next(s for s in report.steps if any(o.tensor == tensor for o in s.ops))


def _held(report: Report, tensor: str) -> list[str]:
    line = next(t for t in report.tensors if t.name == tensor)
    return [f.partitions for f in line.forms if f.memory == "SBUF"]


def _stored(report: Report, tensor: str) -> bool:
    return any(s.moves == f"stores {tensor}" for s in report.steps)


Seen = Callable[[Report], bool]

CASES: dict[str, tuple[AnyPin, Seen]] = {
    "partition": (
        cp.pin("scores", partition="k"),
        lambda r: _step(r, "scores").partitions == "k (128 of 256)",
    ),
    "partition by number": (
        cp.pin("e", partition=2),
        lambda r: _step(r, "e").partitions == "k (128 of 256)",
    ),
    "partition of an input": (
        cp.pin("v", partition="k"),
        lambda r: _held(r, "v") == ["k (128 of 256)"],
    ),
    "tile": (
        cp.pin("scores", tile=64),
        lambda r: "(64 of 256)" in _step(r, "scores").partitions,
    ),
    "engine": (
        cp.pin("subtract_1", engine="vector"),
        lambda r: set(_step(r, "subtract_1").busy_ns) == {"vector"},
    ),
    "evicting engine": (
        cp.pin("scores", engine="scalar"),
        lambda r: "on scalar" in _step(r, "scores").epilogue,
    ),
    "instruction": (
        cp.pin("total", instruction="tensor_reduce"),
        lambda r: _step(r, "total").instruction == "tensor_reduce",
    ),
    "stationary": (
        cp.pin("scores", stationary="k"),
        lambda r: "k stationary, q moving" in _step(r, "scores").tiles,
    ),
    "resident": (
        cp.pin("subtract_1", residency="resident"),
        lambda r: len(_held(r, "subtract_1")) == 1,
    ),
    "spill": (cp.pin("scores", residency="spill"), lambda r: _stored(r, "scores")),
    "fused": (
        cp.pin("scores", residency="fused"),
        lambda r: not _stored(r, "scores"),
    ),
    "fuse": (
        cp.fuse("e", "total"),
        lambda r: _step(r, "e") == _step(r, "total"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_plan_does_what_is_pinned_and_the_kernel_is_right(case: str) -> None:
    one, seen = CASES[case]
    plan = pinned.plan(one)
    assert seen(plan.report_data)
    rng = np.random.default_rng(0)
    shape = (pinned.HEADS, pinned.TOKENS, pinned.WIDTH)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) / 4 for _ in range(3))
    kernel = cp.lower(plan)
    got = cp.simulate(kernel, q, k, v)
    wide = [np.asarray(a, np.float64) for a in (q, k, v)]
    np.testing.assert_allclose(got, pinned.attention(*wide), rtol=1e-4, atol=1e-5)
    compile(cp.emit_nki(kernel), "kernel.py", "exec")


BROKEN: dict[str, AnyPin] = {
    "partition": cp.pin("scores", partition="k"),
    "partition of an input": cp.pin("v", partition="d"),
    "tile": cp.pin("scores", tile=64),
    "engine": cp.pin("scores", engine="scalar"),
    "instruction": cp.pin("max_1", instruction="tensor_reduce"),
    "stationary": cp.pin("scores", stationary="k"),
    "resident": cp.pin("subtract_1", residency="resident"),
    "spill": cp.pin("scores", residency="spill"),
    "fused": cp.pin("scores", residency="fused"),
    "fuse": cp.fuse("scores", "e"),
    "unknown": cp.pin("nothing", tile=2),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plan_that_breaks_a_pin_is_refused(case: str) -> None:
    plan = pinned.plan()
    options = replace(plan.options, pins=(BROKEN[case],))
    with pytest.raises(PlanError, match="breaks rule 'pins'"):
        check_plan(plan.program, replace(plan.data, options=options), plan.target)


def _residual(x: Any, w: Any) -> Any:
    return np.tanh(x @ w) + x


def test_an_input_is_streamed() -> None:
    graph = cp.trace(_residual, cp.spec((256, 256)), cp.spec((256, 256)))
    pins = (cp.pin("x", residency="stream"),)
    streamed = cp.solve(graph, effort="fast", pins=pins)
    loads = [s for s in streamed.report_data.steps if "x" in s.moves]
    x, w = (np.random.default_rng(k).standard_normal((256, 256)).astype(np.float32) for k in (0, 1))
    got = cp.simulate(cp.lower(streamed), x, w / 16)
    np.testing.assert_allclose(got, _residual(x, w / 16), rtol=1e-3, atol=1e-5)
    kept = cp.solve(graph, effort="fast")
    assert kept.objective_ns < streamed.objective_ns
    assert len(loads) >= 1
    options = replace(kept.options, pins=pins)
    with pytest.raises(PlanError, match="is held for 2 steps"):
        check_plan(kept.program, replace(kept.data, options=options), kept.target)


def test_a_spilled_tensor_is_not_resident() -> None:
    plan = pinned.plan(cp.pin("scores", residency="spill"))
    options = replace(plan.options, pins=(cp.pin("scores", residency="resident"),))
    with pytest.raises(PlanError, match="'scores' is loaded more than once"):
        check_plan(plan.program, replace(plan.data, options=options), plan.target)


WRONG: dict[str, tuple[AnyPin, str]] = {
    "name": (cp.pin("scoers", tile=64), "did you mean 'scores'"),
    "view": (cp.pin("transpose_1", tile=64), "Allowed is q, k, v"),
    "axis": (cp.pin("scores", partition="d"), "allowed is h, q, k or the number of a dim"),
    "dim": (cp.pin("scores", partition=3), "has no axis 3"),
    "engine of an input": (cp.pin("q", engine="vector"), "is an input"),
    "spilled input": (cp.pin("q", residency="spill"), "allowed is resident, stream"),
    "streamed result": (cp.pin("e", residency="stream"), "resident, spill, fused"),
    "operand": (cp.pin("scores", stationary="v"), "one of its operands q, k"),
    "no contraction": (cp.pin("e", stationary="lhs"), "written by no contraction"),
    "fuse": (cp.fuse("scores", "ee"), "did you mean 'e'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_pin_that_makes_no_sense_says_what_does(case: str) -> None:
    one, words = WRONG[case]
    with pytest.raises(ArgumentError, match=words):
        pinned.plan(one)


def test_values_of_pins_are_checked_at_once() -> None:
    with pytest.raises(ArgumentError, match="asks for nothing"):
        cp.pin("scores")
    with pytest.raises(ArgumentError, match="allowed is resident, stream, spill, fused"):
        cp.pin("scores", residency="chip")
    with pytest.raises(ArgumentError, match="allowed is tensor, vector, scalar, gpsimd, dma"):
        cp.pin("scores", engine="pool")
    with pytest.raises(ArgumentError, match="at least 1 partition"):
        cp.pin("scores", tile=0)
    with pytest.raises(ArgumentError, match="names no axis"):
        cp.pin("scores", partition=())
    with pytest.raises(ArgumentError, match="names one tensor twice"):
        cp.fuse("e", "e")


def test_pins_are_part_of_the_plan_file(tmp_path: Path) -> None:
    pins = (cp.pin("scores", partition=("q",), engine="scalar"), cp.fuse("e", "total"))
    plan = pinned.plan(*pins)
    plan.save(tmp_path / "plan.json")
    again = cp.Plan.load(tmp_path / "plan.json")
    assert again.options.pins == pins
    assert again.to_json() == plan.to_json()
    assert plan.to_json() != pinned.plan().to_json()


def test_a_pin_of_what_the_plan_does_anyway_costs_nothing() -> None:
    free = pinned.plan()
    assert pinned.plan(cp.pin("scores", partition="q")).objective_ns == free.objective_ns


def _wide(x: Any, w: Any) -> Any:
    return np.exp(x @ w)


def test_a_factor_that_only_other_loops_have_is_no_wrong_name() -> None:
    graph = cp.trace(_wide, cp.spec((128, 128)), cp.spec((128, 256)))
    with pytest.raises(cp.Infeasible) as caught:
        cp.solve(graph, effort="fast", pins=[cp.pin("exp_1", partition="d1.1")])
    (conflict,) = caught.value.report.conflicts
    assert conflict.members == ("exp_1.partition=d1.1",)
    assert conflict.resource == "partition"
    assert "partition=d1" in conflict.levers
