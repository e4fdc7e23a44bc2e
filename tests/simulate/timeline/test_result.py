"""What an estimate says: shares, bounds, the critical path and the trace."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.timeline.effects import late_load
from benchmarks.timeline.kernels import inner_loads, streamed
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32
from nkigen_cp.simulate import count
from nkigen_cp.simulate.timeline import Estimate, estimate, path, trace
from nkigen_cp.targets import TRN2

SIZES = (1024, 1024, 1024)


@pytest.fixture(scope="module")
def found() -> Estimate:
    return estimate(late_load(late=True))


def test_the_critical_path_leads_from_the_start_to_the_end(found: Estimate) -> None:
    segments = found.critical_path
    assert segments[0].start_ns == 0.0
    assert segments[-1].end_ns == found.latency_ns
    for before, after in itertools.pairwise(segments):
        assert before.start_ns <= after.start_ns
        assert before.end_ns <= after.end_ns
    assert any("DMA rings busy" in s.waited_for for s in segments)
    assert any(s.instructions > 10 and s.engine == "tensor" for s in segments)


def test_a_long_critical_path_is_bounded() -> None:
    made = inner_loads("long", (1024, 1024, 4096), BFLOAT16, 1)
    found = estimate(made)
    assert len(found.critical_path) == path.SEGMENTS
    assert found.critical_path[-1].end_ns == found.latency_ns


def test_shares_and_bounds(found: Estimate) -> None:
    assert set(found.busy_share) == {"tensor", "vector", "scalar", "gpsimd", "dma"}
    assert all(0.0 <= share <= 1.0 for share in found.busy_share.values())
    made = late_load(late=True)
    assert found.hbm_bound_ns == pytest.approx(count(made).compulsory_bytes / TRN2.hbm_bytes_per_ns)
    assert found.roofline_ns == max(found.hbm_bound_ns, found.engine_bound_ns)
    assert found.latency_ns >= found.roofline_ns


@pytest.mark.parametrize(("dtype", "passes"), [(BFLOAT16, 1), (FLOAT32, 4)])
def test_matmul_work_runs_at_the_peak_of_its_dtype(dtype: object, passes: int) -> None:
    made = streamed("gemm", SIZES, dtype)  # pyright: ignore[reportArgumentType]
    cycles = passes * 1024**3 / 128**2
    assert estimate(made).engine_bound_ns == pytest.approx(cycles / 2.4)


def test_two_runs_agree(found: Estimate) -> None:
    again = estimate(late_load(late=True))
    assert again.latency_ns == found.latency_ns
    assert again.critical_path == found.critical_path


def test_more_bandwidth_and_faster_engines_are_not_slower() -> None:
    made = late_load(late=False)
    dma = replace(TRN2.dma, bytes_per_ns_per_engine=46.0, min_descriptor_ns=29.0)
    engines = {n: replace(e, clock_ghz=2 * e.clock_ghz) for n, e in TRN2.engines.items()}
    base = estimate(made).latency_ns
    assert estimate(made, replace(TRN2, dma=dma)).latency_ns < base
    assert estimate(made, replace(TRN2, engines=engines)).latency_ns < base


def test_the_trace_has_every_event_on_its_engine(found: Estimate, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    found.save_trace(file)
    records = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    rows = {r["tid"]: r["args"]["name"] for r in records if r["ph"] == "M"}
    events = [r for r in records if r["ph"] == "X"]
    assert len(events) == len(found.events)
    assert max(e["ts"] + e["dur"] for e in events) == pytest.approx(found.latency_ns / 1e3)
    free = dict.fromkeys(rows.values(), 0.0)
    for event in events:
        row = rows[event["tid"]]
        if not row.startswith("dma"):
            assert event["ts"] >= free[row] - 1e-3
            free[row] = event["ts"] + event["dur"]
    assert {e["tid"] for e in events if e["name"] == "nc_matmul"} == {0}


def test_a_trace_is_bounded_and_written_whole_or_not_at_all(
    found: Estimate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "TRACE_EVENTS", 10)
    found.save_trace(tmp_path / "short.json")
    records = json.loads((tmp_path / "short.json").read_text(encoding="utf-8"))["traceEvents"]
    assert sum(r["ph"] == "X" for r in records) == 10
    with pytest.raises(ArgumentError, match="cannot be written"):
        found.save_trace(tmp_path / "nowhere" / "run.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArgumentError, match="cannot be written"):
        found.save_trace(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "short.json"]
