"""Text, JSON and HTML of one plan say the same, and what the plan says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import nkigen_cp as cp
from nkigen_cp.report import render_html, render_json, render_text
from nkigen_cp.solver.candidates import ENGINES
from tests.report.page import read
from tests.report.programs import PLANS, gated_plan

FIGURES = {
    "latency_ns": r"latency   ([\d,]+) ns",
    "instructions": r"engine timeline, ([\d,]+) instructions",
    "hbm_bound_ns": r"\(HBM ([\d,]+), matmuls",
    "engine_bound_ns": r"matmuls ([\d,]+)\)",
    "objective_ns": r"objective ([\d,]+) ns",
    "bound_ns": r"no plan of this model is below ([\d,]+) ns",
    "hbm_bytes": r"HBM       ([\d,]+) B moved",
    "hbm_bytes_min": r"at least ([\d,]+) B",
    "sbuf_peak_bytes": r"SBUF      ([\d,]+) of",
    "sbuf_bytes": r"SBUF      [\d,]+ of ([\d,]+) B",
    "idle_ns": r"(?m)^idle +([\d,]+)$",
}
"""Fields of the summary, and how the text has them."""


def _json(plan: cp.Plan) -> dict[str, Any]:
    return json.loads(render_json(plan.report_data))


@pytest.mark.parametrize("field", FIGURES)
@pytest.mark.parametrize("name", PLANS)
def test_figures_of_the_summary(name: str, field: str) -> None:
    report = PLANS[name]().report_data
    want = getattr(report.summary, field)
    (shown,) = re.findall(FIGURES[field], render_text(report))
    assert int(shown.replace(",", "")) == want
    assert _json(PLANS[name]())["summary"][field] == want
    assert read(render_html(report)).by_id(field).numbers == [want]


@pytest.mark.parametrize("name", PLANS)
def test_nests(name: str) -> None:
    plan = PLANS[name]()
    report = plan.report_data
    rows = read(render_html(report)).by_id("nest-table").all("tr")[1:-2]
    assert len(rows) == len(report.nests) == len(_json(plan)["nests"])
    text = render_text(report)
    for nest, row, record in zip(report.nests, rows, _json(plan)["nests"], strict=True):
        busy = [ns for e in ENGINES if (ns := nest.busy_ns.get(e, 0))]
        assert row.numbers[: len(busy) + 1] == [*busy, nest.exclusive_ns]
        assert (record["name"], record["exclusive_ns"]) == (nest.name, nest.exclusive_ns)
        assert re.search(rf"(?m)^{nest.label} .* {nest.exclusive_ns:,}$", text)


@pytest.mark.parametrize("name", PLANS)
def test_steps(name: str) -> None:
    plan = PLANS[name]()
    rows = read(render_html(plan.report_data)).by_id("step-table").all("tr")[1:]
    records = _json(plan)["steps"]
    for step, row, record in zip(plan.steps, rows, records, strict=True):
        busy = [ns for e in ENGINES if (ns := step.busy_ns.get(e, 0))]
        assert row.attributes["id"] == f"step-{step.group}"
        assert row.numbers == [*busy, *([step.sbuf_bytes] if step.sbuf_bytes else [])]
        assert {e: ns for e, ns in record["busy_ns"].items() if ns} == dict(step.busy_ns)


@pytest.mark.parametrize("name", PLANS)
def test_forms(name: str) -> None:
    plan = PLANS[name]()
    bodies = read(render_html(plan.report_data)).by_id("tensor-table").all("tbody")
    shown = [
        (body.attributes["data-t"], row.numbers)
        for body in bodies
        for row in body.all("tr")
        if row.attributes["class"] == "form"
    ]
    planned = [
        (f.tensor, [n for n in (f.partition_bytes, f.address) if n is not None] if f.layout else [])
        for f in plan.forms
    ]
    assert sorted(shown) == sorted(planned)
    records = [(t["name"], f["bytes"]) for t in _json(plan)["tensors"] for f in t["forms"]]
    assert sorted(records) == sorted((f.tensor, f.partition_bytes) for f in plan.forms)


@pytest.mark.parametrize("name", PLANS)
def test_conversions_and_transfers(name: str) -> None:
    plan = PLANS[name]()
    report, page = plan.report_data, read(render_html(plan.report_data))
    prices = [n for row in page.by_id("conversion-table").all("tr") for n in row.numbers]
    assert prices == [c.price_ns for c in report.conversions]
    moved = [row.numbers for row in page.by_id("transfer-table").all("tr")[1:]]
    assert moved == [
        [t.bytes, t.row_bytes, t.full_row_bytes, t.busy_ns, t.efficiency] for t in report.transfers
    ]
    text = render_text(report)
    for t in report.transfers:
        assert re.search(
            rf"(?m)^ *{t.step}  .* {t.bytes:,} +{t.row_bytes:,} .* {t.busy_ns:,} ", text
        )


@pytest.mark.parametrize("name", PLANS)
def test_decisions(name: str) -> None:
    plan = PLANS[name]()
    report, page = plan.report_data, read(render_html(plan.report_data))
    changes = [n for row in page.by_id("decision-table").all("tr") for n in row.numbers]
    want = [d.change_ns for d in report.decisions if d.change_ns is not None]
    assert changes == want
    records = _json(plan)["decisions"]
    assert [r["change_ns"] for r in records if r["change_ns"] is not None] == want
    section = render_text(report).split("\ndecisions: ")[1]
    shown = re.findall(r"(?m) ([+-][\d,]+)$", section)
    assert [int(n.replace(",", "")) for n in shown] == want
    assert section.count("not possible: ") == sum(1 for d in report.decisions if d.against)


def test_pictures_have_every_step_and_tensor_of_the_plan() -> None:
    plan = gated_plan()
    page = read(render_html(plan.report_data))
    nodes = {r.attributes["data-s"] for r in page.by_id("graph-picture-1").all("rect")}
    assert nodes == {str(s.group) for s in plan.steps}
    drawn = [r.attributes.get("data-t") for r in page.by_id("memory-picture").all("rect")]
    held = [f.tensor for f in plan.forms if f.layout]
    assert sorted(n for n in drawn if n) == sorted(held)
    timed = {r.attributes["data-s"] for r in page.by_id("timeline-picture").all("rect")}
    assert timed <= nodes
    for picture in page.all("svg"):
        assert picture.attributes["aria-label"]


def test_the_page_needs_nothing_else() -> None:
    page = read(render_html(gated_plan().report_data))
    links = [e.attributes.get("href", "#") for e in (*page.all("link"), *page.all("a"))]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not any("src" in e.attributes for tag in ("script", "img") for e in page.all(tag))
    assert "http" not in render_html(gated_plan().report_data)


def test_files_are_told_by_their_suffix(tmp_path: Path) -> None:
    plan = gated_plan()
    for suffix, render in ((".html", render_html), (".json", render_json), (".txt", render_text)):
        path = tmp_path / f"gated{suffix}"
        plan.report(path)
        assert path.read_text(encoding="utf-8") == render(plan.report_data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gated.html", "gated.json", "gated.txt"]


@pytest.mark.parametrize(
    ("name", "says"), [("a.pdf", ".html, .json, .txt"), ("no/a.html", "cannot be written")]
)
def test_a_path_that_cannot_be_written(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(cp.ArgumentError, match=says):
        gated_plan().report(tmp_path / name)
