"""How large the report's page is and how soon a browser shows it.

    python -m benchmarks.report [--only qwen3emb_layer_s128_bf16]

Plans are kept under build/plans and solved anew where they do not load. Writes
benchmarks/results/report.json and benchmarks/REPORT.md; exit code 1 if a limit is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from selenium.webdriver import Chrome

import nkigen_cp as cp
from benchmarks.browser import chromium
from benchmarks.markdown import head, record
from nkigen_cp.report import render_html, render_json, render_text
from nkigen_cp.workloads import WORKLOADS

FOLDER = Path(__file__).resolve().parents[1]
ROWS = ("qwen3emb_layer_s128_bf16", "qwen3emb_layer_s2048_bf16")
EFFORT = "balanced"
MOST_BYTES, MOST_MS = 5_000_000, 2_000
OPENED = 3
_SHOWN = (
    "const done = arguments[arguments.length - 1];"
    "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))"
)
"""Milliseconds from the start of the navigation until the page has been painted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A page: what it is made from, its size, and the median time until it is painted."""

    workload: str
    steps: int
    tensors: int
    build_s: float
    html_bytes: int
    json_bytes: int
    text_bytes: int
    shown_ms: float

    @property
    def met(self) -> bool:
        """Whether the page keeps to both limits."""
        return self.html_bytes <= MOST_BYTES and self.shown_ms <= MOST_MS


def _plan(name: str) -> cp.Plan:
    path = FOLDER / "build" / "plans" / f"{name}.json"
    try:
        return cp.Plan.load(path)
    except cp.PlanError:
        workload = WORKLOADS[name]
        specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
        plan = cp.solve(cp.trace(workload.function, *specs, **workload.static), effort=EFFORT)
        path.parent.mkdir(parents=True, exist_ok=True)
        plan.save(path)
        return plan


def _measured(name: str) -> Opened:
    plan = _plan(name)
    start = time.perf_counter()
    report = plan.report_data
    page = render_html(report)
    taken = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_text(page, encoding="utf-8")
        with chromium(Path(folder, "profile")) as browser:
            shown = [_shown_ms(browser, path) for _ in range(OPENED)]
    return Opened(
        workload=name,
        steps=len(report.steps),
        tensors=len(report.tensors),
        build_s=round(taken, 1),
        html_bytes=len(page.encode()),
        json_bytes=len(render_json(report).encode()),
        text_bytes=len(render_text(report).encode()),
        shown_ms=round(statistics.median(shown)),
    )


def _shown_ms(browser: Chrome, path: Path) -> float:
    browser.get("about:blank")
    browser.get(path.as_uri())
    shown: float = browser.execute_async_script(_SHOWN)  # pyright: ignore[reportUnknownMemberType]
    return shown


def page(rows: Sequence[Opened]) -> str:
    """The page ``benchmarks/REPORT.md``."""
    lines = head("The report's page", "python -m benchmarks.report", EFFORT)
    lines += [
        f"A page may have {MOST_BYTES / 1e6:.0f} MB and is painted within {MOST_MS / 1000:.0f} s "
        "of its opening in headless Chromium.",
        "",
        "| workload | steps | tensors | made in | page | JSON | text | painted after | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *(_line(r) for r in rows),
        "",
    ]
    return "\n".join(lines)


def _line(r: Opened) -> str:
    sizes = (f"{n / 1e3:,.0f} KB" for n in (r.html_bytes, r.json_bytes, r.text_bytes))
    cells = (r.workload, str(r.steps), str(r.tensors), f"{r.build_s:.1f} s", *sizes,
             f"{r.shown_ms:,.0f} ms", "✓" if r.met else "✗ MISS")  # fmt: skip
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--only", multiple=True, type=click.Choice(ROWS), help="These rows alone.")
def main(only: tuple[str, ...]) -> None:
    """Measure pages and write REPORT.md if all rows are measured."""
    rows = [_measured(name) for name in only or ROWS]
    click.echo(page(rows))
    if not only:
        results = record(EFFORT, [asdict(r) for r in rows])
        text = json.dumps(results, indent=1) + "\n"
        (FOLDER / "benchmarks/results/report.json").write_text(text, encoding="utf-8")
        (FOLDER / "benchmarks/REPORT.md").write_text(page(rows), encoding="utf-8")
    sys.exit(0 if all(r.met for r in rows) else 1)


if __name__ == "__main__":
    main()
