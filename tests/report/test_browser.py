# The types of selenium are partial.
# pyright: reportUnknownMemberType=false
"""The page in headless Chromium: numbers, highlighting, keyboard, and no complaints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from benchmarks.browser import chromium
from tests.report.programs import looped_plan

TENSOR = "w"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    folder = tmp_path_factory.mktemp("page")
    looped_plan().report(folder / "looped.html")
    with chromium(folder / "profile") as browser:
        browser.get((folder / "looped.html").as_uri())
        yield browser


def _value(page: Chrome, css: str) -> float:
    found = page.find_element(By.CSS_SELECTOR, f"{css} data")
    return float(found.get_attribute("value") or "nan")


def _run(page: Chrome, script: str) -> Any:
    return page.execute_script(script)


def test_the_page_shows_the_plans_numbers(page: Chrome) -> None:
    plan = looped_plan()
    assert page.title == "projected on trn2"
    assert _value(page, "#latency_ns") == plan.report_data.summary.latency_ns
    assert _value(page, "#objective_ns") == plan.objective_ns
    assert _value(page, "#bound_ns") == plan.bound_ns
    rows = page.find_elements(By.CSS_SELECTOR, "#step-table tbody tr")
    assert len(rows) == len(plan.steps)
    alone = [float(v) for v in _run(page, _EXCLUSIVE)]
    idle = _value(page, "#idle_ns")
    assert sum(alone) + idle == plan.report_data.summary.latency_ns


_EXCLUSIVE = "return [...document.querySelectorAll('td.exclusive data')].map(e => e.value)"


@pytest.mark.parametrize("picture", ["bounds", "critical", "timeline", "memory", "graph"])
def test_pictures_are_drawn(page: Chrome, picture: str) -> None:
    name = f"{picture}-picture" + ("-1" if picture == "graph" else "")
    wide, tall, boxes = _run(
        page,
        f"const e = document.getElementById('{name}'), r = e.getBoundingClientRect();"
        "return [r.width, r.height, e.querySelectorAll('rect').length]",
    )
    assert wide > 250
    assert tall > 15
    assert boxes


def test_a_click_on_a_tensor_highlights_it_everywhere(page: Chrome) -> None:
    assert not page.find_elements(By.CSS_SELECTOR, ".hit")
    page.find_element(By.CSS_SELECTOR, f"#tensor-table button[data-t={TENSOR}]").click()
    plan = looped_plan()
    forms = {f.name: f.tensor for f in plan.forms}
    steps = {
        str(s.group) for s in plan.steps for u in (*s.reads, *s.writes) if forms[u.form] == TENSOR
    }
    marked = {
        e.get_attribute("data-s") for e in page.find_elements(By.CSS_SELECTOR, "rect.node.hit")
    }
    assert marked == steps
    held = [f for f in plan.forms if f.tensor == TENSOR and f.layout]
    assert len(page.find_elements(By.CSS_SELECTOR, "#memory-picture .form.hit")) == len(held) > 0
    assert page.find_elements(By.CSS_SELECTOR, f"#transfer-table button.hit[data-t={TENSOR}]")
    picked = page.find_element(By.ID, "picked")
    assert picked.is_displayed()
    assert picked.text.startswith(f"{TENSOR}: in ")
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert not page.find_elements(By.CSS_SELECTOR, ".hit")
    assert not picked.is_displayed()


def test_the_keyboard_is_enough(page: Chrome) -> None:
    button = page.find_element(By.CSS_SELECTOR, f"#tensor-table button[data-t={TENSOR}]")
    _run(page, f"document.querySelector('#tensor-table button[data-t={TENSOR}]').focus()")
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "false"
    boxes = "return document.querySelectorAll('.scroll:not([tabindex=\"0\"])').length"
    assert _run(page, boxes) == 0


def test_a_click_in_the_sbuf_picture_highlights_as_well(page: Chrome) -> None:
    _run(page, f"document.querySelector('#memory-picture [data-t={TENSOR}]').dispatchEvent("
         "new MouseEvent('click', {bubbles: true}))")  # fmt: skip
    assert page.find_element(By.ID, "picked").text.startswith(f"{TENSOR}: in ")
    page.find_element(By.CSS_SELECTOR, "#picked button").click()
    assert not page.find_elements(By.CSS_SELECTOR, ".hit")


@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_is_no_wider_than_the_window(page: Chrome, width: int) -> None:
    page.set_window_rect(width=width, height=900)
    wide = _run(page, "return document.documentElement.scrollWidth - window.innerWidth")
    page.set_window_rect(width=1280, height=1000)
    assert wide <= 0


def test_nothing_is_complained_about_and_nothing_is_fetched(page: Chrome) -> None:
    logs: list[Any] = page.get_log("browser")
    assert logs == []
    assert _run(page, "return performance.getEntriesByType('resource').length") == 0


def test_it_says_the_same_without_javascript(tmp_path: Path) -> None:
    """What the script adds is highlighting; every number is in the page itself."""
    path = tmp_path / "plain.html"
    looped_plan().report(path)
    text = path.read_text(encoding="utf-8")
    start = text.index("<script>")
    path.write_text(text[:start] + text[text.index("</script>", start) :], encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.get(path.as_uri())
        assert _value(browser, "#latency_ns") == looped_plan().report_data.summary.latency_ns
        rows = browser.find_elements(By.CSS_SELECTOR, "#step-table tbody tr")
        assert len(rows) == len(looped_plan().steps)
        assert browser.find_element(By.ID, "timeline-picture").is_displayed()
