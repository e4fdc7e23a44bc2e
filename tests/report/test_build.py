"""The report object against the plan and the lowered kernel."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.program import HbmWindow
from nkigen_cp.report.model import Report, StepLine
from nkigen_cp.report.tensors import tensor_lines
from tests.report.programs import (
    PLANS,
    gated,
    gated_plan,
    regrouped_plan,
    scores_plan,
    streaming_plan,
)


def _report(plan: cp.Plan) -> Report:
    return plan.report_data


def _computing(report: Report, op: str) -> StepLine:
    return next(s for s in report.steps if any(o.tensor == op for o in s.ops))


@pytest.mark.parametrize("name", PLANS)
def test_busy_time_of_the_steps_adds_up_to_the_plans(name: str) -> None:
    plan = PLANS[name]()
    report = _report(plan)
    for engine, total in report.summary.busy_ns.items():
        assert sum(s.busy_ns.get(engine, 0) for s in report.steps) == total
    assert report.summary.busy_ns[report.summary.limiting] == max(plan.data.busy_ns.values())


@pytest.mark.parametrize("name", PLANS)
def test_hbm_bytes_are_those_the_kernel_moves(name: str) -> None:
    plan = PLANS[name]()
    counted = cp.count(cp.lower(plan))
    summary = _report(plan).summary
    assert summary.hbm_bytes == counted.hbm_bytes
    assert summary.hbm_bytes_min == counted.compulsory_bytes


@pytest.mark.parametrize("name", PLANS)
def test_every_form_and_residency_is_reported_once(name: str) -> None:
    plan = PLANS[name]()
    report = _report(plan)
    assert {t.name: t.residency for t in report.tensors} == dict(plan.residency)
    held = [(t.name, f.bytes, f.first_step, f.last_step) for t in report.tensors for f in t.forms]
    planned = [(f.tensor, f.partition_bytes, f.first_step, f.last_step) for f in plan.forms]
    assert sorted(held) == sorted(planned)


def test_ops_bear_the_users_names_and_lines() -> None:
    ops = [o for s in _report(gated_plan()).steps for o in s.ops]
    lines, first = inspect.getsourcelines(gated)
    at = first + next(k for k, text in enumerate(lines) if "shifted =" in text)
    shifted = next(o for o in ops if o.tensor == "shifted")
    assert shifted.where == f"programs.py:{at}"


def test_partitions_and_tiles_bear_the_users_axis_names() -> None:
    report = _report(gated_plan())
    matmul = next(s for s in report.steps if "stationary" in s.tiles)
    assert matmul.instruction == "nc_matmul"
    assert any(axis in matmul.partitions for axis in ("tokens", "outer"))
    assert "contracting inner (128 of 384)" in matmul.tiles
    assert not any("#" in text for s in report.steps for text in (s.partitions, s.loops, s.tiles))


def test_the_epilogue_names_the_ops_it_computes() -> None:
    report = _report(gated_plan())
    matmul = next(s for s in report.steps if "stationary" in s.tiles)
    after = [o.name for o in matmul.ops[1:]]
    assert all(name in matmul.epilogue for name in after)
    assert matmul.epilogue.split()[0] in ("activation", "tensor_tensor", "tensor_copy")


def test_a_streamed_operand_is_named_with_its_blocks() -> None:
    report = _report(streaming_plan())
    streams = [s.streamed for s in report.steps if s.streamed]
    assert streams
    assert streams[0].startswith("w in blocks of d1 ")
    assert next(t.residency for t in report.tensors if t.name == "w") == "streamed"


def test_conversions_are_the_steps_that_only_move_data() -> None:
    report = _report(scores_plan())
    assert [c.step for c in report.conversions] == [
        s.number for s in report.steps if s.moves.startswith(("transposes", "replicates"))
    ]
    for c in report.conversions:
        assert c.price_ns == sum(report.steps[c.step].busy_ns.values()) > 0
        assert c.before != c.after


def test_an_opaque_reshape_is_a_conversion_through_hbm() -> None:
    found = [c for c in _report(regrouped_plan()).conversions if c.how == "reinterpret in HBM"]
    assert [(c.tensor, c.before, c.after) for c in found] == [("flat", "HBM", "HBM")]


def test_a_part_of_an_input_says_which() -> None:
    plan = gated_plan()
    window = HbmWindow(base="weight", offsets=(0, 128))
    program = dataclasses.replace(plan.program, windows={"x": window})
    lines = tensor_lines(program, plan.data, plan.report_data.steps)
    parts = {t.name: t.part_of for t in lines}
    assert parts["x"] == "weight[0:256, 128:512]"
    assert not any(of for name, of in parts.items() if name != "x")


def test_a_mask_is_made_on_the_chip() -> None:
    step = next(s for s in _report(scores_plan()).steps if s.moves == "makes mask")
    assert step.instruction == "memset, affine_select"


def test_the_matmul_step_covers_what_it_computes() -> None:
    assert _computing(_report(streaming_plan()), "contract_1").instruction == "nc_matmul"
