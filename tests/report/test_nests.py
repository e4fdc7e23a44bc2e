"""Times of nests against the plan and the timeline."""

from __future__ import annotations

import itertools

import pytest

import nkigen_cp as cp
from nkigen_cp.report.timing import critical, timed
from nkigen_cp.solver.homes import nest_of
from tests.report.programs import PLANS, looped_plan


@pytest.mark.parametrize("name", PLANS)
def test_exclusive_times_and_idle_time_add_up_to_the_latency(name: str) -> None:
    plan = PLANS[name]()
    report = plan.report_data
    together = sum(n.exclusive_ns for n in report.nests) + report.summary.idle_ns
    assert together == report.summary.latency_ns
    estimated = cp.estimate(cp.lower(plan))
    assert report.summary.latency_ns == round(estimated.latency_ns)
    assert report.summary.roofline_ns == round(estimated.roofline_ns)
    assert report.summary.instructions == estimated.instructions
    assert all(n.exclusive_ns >= 0 for n in report.nests)


@pytest.mark.parametrize("name", PLANS)
def test_the_critical_path_has_every_nanosecond_once(name: str) -> None:
    plan = PLANS[name]()
    timing = timed(plan.program, plan.data, plan.graph, plan.target)
    stretches = critical(timing)
    assert stretches[0].end_ns == timing.latency_ns
    assert stretches[-1].start_ns == 0
    for later, earlier in itertools.pairwise(stretches):
        assert later.start_ns == earlier.end_ns


@pytest.mark.parametrize("name", PLANS)
def test_every_step_belongs_to_one_nest_and_so_does_its_time(name: str) -> None:
    plan = PLANS[name]()
    report = plan.report_data
    owners = {step: n.name for n in report.nests for step in n.steps}
    assert owners == {s.group: nest_of(s.path) for s in plan.steps}
    for engine, total in report.summary.busy_ns.items():
        assert sum(n.busy_ns.get(engine, 0) for n in report.nests) == total


def test_loops_say_what_they_count() -> None:
    loops = [k for n in looped_plan().report_data.nests for k in n.loops]
    assert loops
    shapes = {"projected", "contract_1", "w", "x"}
    for loop in loops:
        assert loop.trips > 1
        assert loop.axis.split(" of ")[1].split(".")[0] in shapes
        assert loop.block * loop.trips in (128, 2048, 4096)


@pytest.mark.parametrize("name", PLANS)
def test_transfers_are_all_bytes_of_hbm(name: str) -> None:
    report = PLANS[name]().report_data
    assert sum(t.bytes for t in report.transfers) == report.summary.hbm_bytes
    for t in report.transfers:
        assert 0 < t.row_bytes <= t.bytes
        assert 0 < t.efficiency <= 1


@pytest.mark.parametrize("name", PLANS)
def test_bars_are_within_the_latency_and_do_not_overlap_in_a_row(name: str) -> None:
    report = PLANS[name]().report_data
    rows: dict[tuple[str, int], int] = {}
    for bar in report.bars:
        assert 0 <= bar.start_ns <= bar.end_ns <= report.summary.latency_ns
        if bar.lane in ("tensor", "vector", "scalar", "gpsimd"):
            assert bar.start_ns >= rows.get((bar.lane, bar.row), 0)
            rows[bar.lane, bar.row] = bar.end_ns
    assert {report.steps[b.step].nest for b in report.bars} <= {n.name for n in report.nests}


@pytest.mark.parametrize("name", PLANS)
def test_axes_have_roles_and_forms_have_reasons(name: str) -> None:
    for tensor in PLANS[name]().report_data.tensors:
        for form in tensor.forms:
            assert form.why
            on_chip = form.memory == "SBUF"
            roles = {a.role for a in form.axes}
            assert roles <= ({"partition", "free", "batch"} if on_chip else {"hbm"})
            filled = 1
            for axis in form.axes:
                assert 1 <= axis.tile <= axis.size
                filled *= axis.tile if axis.role == "partition" else 1
            if "partition" in roles:
                assert filled == form.held_partitions <= 128
