"""Pictures of what is large, without addresses, or named in awkward ways."""

from __future__ import annotations

import dataclasses
import json

import pytest

from nkigen_cp.report import bars, build_report, render_html
from nkigen_cp.report.pictures import graph
from nkigen_cp.report.pictures.shapes import ticks
from nkigen_cp.report.timing import timed
from tests.report.page import read
from tests.report.programs import gated_plan, looped_plan, regrouped_plan

AWKWARD = 'a<b>&"c"</script>'


def test_a_graph_of_many_steps_is_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    report = gated_plan().report_data
    monkeypatch.setattr(graph, "PAGE", 4)
    pictures = graph.graph_pictures(report)
    assert len(pictures) == -(-len(report.steps) // 4)
    drawn = [b.step for p in pictures for b in p.boxes]
    assert sorted(s for s in drawn if s is not None) == list(range(len(report.steps)))
    page = read(render_html(report))
    assert [
        e.attributes["id"] for e in page.all("svg") if "graph" in e.attributes.get("id", "")
    ] == [f"graph-picture-{k}" for k in range(1, len(pictures) + 1)]


def test_boxes_of_a_graph_do_not_overlap_and_edges_go_down() -> None:
    (picture,) = graph.graph_pictures(gated_plan().report_data)
    places = [(b.x, b.y) for b in picture.boxes]
    for k, (x, y) in enumerate(places):
        assert 0 <= x <= picture.width - graph.NODE_WIDTH
        for other_x, other_y in places[:k]:
            assert abs(x - other_x) >= graph.NODE_WIDTH or abs(y - other_y) >= graph.NODE_HEIGHT
    for line in picture.lines:
        start, end = line.path[1:].split("C")[0].split(), line.path.split()[-1]
        assert float(start[1]) < float(end)


def test_a_timeline_of_many_instructions_has_fewer_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = looped_plan()
    timing = timed(plan.program, plan.data, plan.graph, plan.target)
    many = len(bars.bars(timing))
    monkeypatch.setattr(bars, "MOST_BARS", many // 2)
    fewer = bars.bars(timing)
    assert 0 < len(fewer) <= many // 2
    drawn = sum(b.instructions for b in fewer)
    assert drawn == sum(e.step is not None for e in timing.estimate.events)


def test_a_plan_without_addresses_is_drawn_and_says_so() -> None:
    plan = gated_plan()
    forms = tuple(dataclasses.replace(f, address=None) for f in plan.forms)
    bare = dataclasses.replace(plan.data, forms=forms)
    report = build_report(plan.program, bare, plan.graph, plan.target)
    held = [f for t in report.tensors for f in t.forms if f.memory == "SBUF"]
    assert all(f.address is None and f.drawn_at is not None for f in held)
    page = render_html(report)
    assert "The plan has no addresses" in page
    assert "The plan has no addresses" not in render_html(plan.report_data)
    drawn = read(page).by_id("memory-picture").all("rect")
    assert sum("data-t" in r.attributes for r in drawn) == len(held)


def test_texts_are_shown_as_they_are_and_never_as_markup() -> None:
    """Names are letters and digits, but a plan file may hold anything."""
    report = gated_plan().report_data
    tensor = dataclasses.replace(report.tensors[0], name=AWKWARD)
    step = dataclasses.replace(report.steps[0], reads=(AWKWARD,), writes=(AWKWARD,))
    report = dataclasses.replace(
        report, tensors=(tensor, *report.tensors[1:]), steps=(step, *report.steps[1:])
    )
    page = read(render_html(report))
    shown = [e.attributes["data-t"] for e in page.by_id("tensor-table").all("tbody")]
    assert shown == [t.name for t in report.tensors]
    assert len(page.all("script")) == 2
    touched = json.loads(page.by_id("touched").text)
    assert touched["0"] == [AWKWARD]


def test_a_program_without_matmuls_has_no_roofline_of_operations() -> None:
    page = render_html(regrouped_plan().report_data)
    assert "roofline-picture" not in page
    assert "roofline-picture" in render_html(gated_plan().report_data)


@pytest.mark.parametrize("most", [0.3, 1.0, 7.0, 115.2, 212_984.0])
def test_ticks_are_round_and_few(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] <= most < found[-1] + (found[1] - found[0]) * 1.0001
    assert 4 <= len(found) <= 10
