"""The text against the plan: same numbers, aligned, never too wide."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.report.table import WIDTH, Column, table
from tests.report.programs import PLANS, gated_plan

_BUSY = re.compile(r"(tensor|vector|scalar|gpsimd|dma) ([\d,]+)")
_STEP = re.compile(r"^ *(\d+)  \S")
_FORM = re.compile(r"^  SBUF .* ([\d,]+) +(\d+)-(\d+)(?: +([\d,]+))?$")


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _section(text: str, title: str) -> list[str]:
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(title))
    rest = lines[start + 1 :]
    return rest[: rest.index("")] if "" in rest else rest


@pytest.mark.parametrize("name", PLANS)
def test_summary_states_the_plans_numbers(name: str) -> None:
    plan = PLANS[name]()
    text = plan.explain()
    summary = plan.report_data.summary
    assert f"objective {plan.objective_ns:,} ns" in text
    assert f"latency   {summary.latency_ns:,} ns" in text
    assert f"roofline  {summary.roofline_ns:,} ns" in text
    assert f"below {plan.bound_ns:,} ns (gap {100 * plan.gap:.1f} %)" in text
    assert f"status    {plan.status} (" in text
    assert f"HBM       {summary.hbm_bytes:,} B moved, at least {summary.hbm_bytes_min:,} B" in text
    busy = next(line for line in text.splitlines() if line.startswith("busy ns"))
    stated = {e: _number(n) for e, n in _BUSY.findall(busy)}
    assert stated == {e: n for e, n in plan.data.busy_ns.items() if n}
    worst = max(plan.data.busy_ns.values())
    assert re.search(rf"^limit     \w+ \({worst:,} ns\)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", PLANS)
def test_every_step_shows_its_busy_time(name: str) -> None:
    plan = PLANS[name]()
    rows = [x for x in _section(plan.explain(), "steps, in order") if _STEP.match(x)]
    shown = {
        int(row.split()[0]): {e: _number(n) for e, n in _BUSY.findall(row.split("  ", 1)[1])}
        for row in rows
    }
    assert shown == {s.group: dict(s.busy_ns) for s in plan.steps}


@pytest.mark.parametrize("name", PLANS)
def test_every_form_shows_bytes_lifetime_and_address(name: str) -> None:
    plan = PLANS[name]()
    rows = [m for x in _section(plan.explain(), "tensors") if (m := _FORM.match(x))]
    shown = [
        (_number(size), int(first), int(last), None if address is None else _number(address))
        for size, first, last, address in (m.groups() for m in rows)
    ]
    held = [f for f in plan.forms if f.layout is not None]
    planned = [(f.partition_bytes, f.first_step, f.last_step, f.address) for f in held]
    assert sorted(shown, key=str) == sorted(planned, key=str)


@pytest.mark.parametrize("name", PLANS)
def test_conversions_show_their_price(name: str) -> None:
    plan = PLANS[name]()
    rows = _section(plan.explain(), "conversions")
    found = plan.report_data.conversions
    if not found:
        assert rows == ["none"]
    prices = [_number(r.split()[-1]) for r in rows if _STEP.match(r)]
    assert prices == [c.price_ns for c in found]


@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_what_the_plan_was_told_is_stated(precision: str) -> None:
    text = gated_plan(precision).explain()
    assert f"matmul_precision='{precision}', assume_masked=True" in text
    assert "blocks wholly under an additive mask of -10000 or less count as masked" in text


@pytest.mark.parametrize("name", PLANS)
def test_no_line_is_too_wide_or_ends_in_blanks(name: str) -> None:
    plan = PLANS[name]()
    for line in plan.explain().splitlines():
        assert len(line) <= WIDTH
        assert line == line.rstrip()


def test_long_names_wrap_and_are_not_cut() -> None:
    long = "a_variable_whose_name_goes_on_and_on_and_on_for_much_longer_than_any_column_is_wide"

    def program(x: Any) -> Any:
        return cp.name(np.tanh(cp.name(np.exp(x * x), long)) + x, f"{long}_too")

    plan = cp.solve(cp.trace(program, cp.spec((8, 16), "float32")), effort="fast")
    text = plan.explain()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert long in re.sub(r"\s", "", text)


def test_columns_align_and_numbers_end_together() -> None:
    columns = (Column(title="name", most=6), Column(title="ns", most=9, right=True))
    rows = [
        line for lines in table(columns, [("a", "1"), ("long name", "1,000")]) for line in lines
    ]
    assert rows == ["name       ns", "a           1", "long    1,000", "name"]
