"""The report as one HTML file with everything in it: style, script and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from nkigen_cp.report.model import Report
from nkigen_cp.report.pictures.bounds import bounds_picture, critical_picture
from nkigen_cp.report.pictures.graph import graph_pictures
from nkigen_cp.report.pictures.memory import memory_picture
from nkigen_cp.report.pictures.roofline import roofline_picture
from nkigen_cp.report.pictures.shapes import NESTS, microseconds, nest_kind
from nkigen_cp.report.pictures.tile import tile_picture
from nkigen_cp.report.pictures.timeline import timeline_picture
from nkigen_cp.solver.candidates import ENGINES


def render_html(report: Report) -> str:
    """A report as a page for browsers; the same plan gives the same bytes."""
    nests = {n.name: nest_kind(k) for k, n in enumerate(report.nests)}
    forms = [f for t in report.tensors for f in t.forms]
    return _template().render(
        report=report,
        summary=report.summary,
        engines=ENGINES,
        nests=nests,
        bounds=bounds_picture(report),
        critical=critical_picture(report),
        timeline=timeline_picture(report),
        memory=memory_picture(report),
        graphs=graph_pictures(report),
        roofline=roofline_picture(report),
        tile=tile_picture,
        nest_colours=NESTS,
        touched=_touched(report),
        addressed=all(f.address is not None for f in forms if f.memory == "SBUF"),
    )


@cache
def _template() -> Template:
    found = Environment(
        loader=PackageLoader("nkigen_cp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, function in _FILTERS.items():
        found.filters[name] = function
    return found.get_template("report.html.jinja")


def _touched(report: Report) -> Markup:
    """Step -> the tensors that it reads and writes, for the script."""
    known = {s.number: list(dict.fromkeys((*s.reads, *s.writes))) for s in report.steps}
    text = json.dumps(known, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _data(value: float, shown: str) -> Markup:
    """A number as people read it, with its exact value for programs."""
    return Markup('<data value="{}">{}</data>').format(value, shown)


def _us(ns: int) -> Markup:
    return _data(ns, f"{ns / 1000:,.3f}")


def _count(value: int) -> Markup:
    return _data(value, f"{value:,}")


def _percent(share: float) -> Markup:
    return _data(share, f"{100 * share:.1f} %")


def _size(size_bytes: int) -> Markup:
    """Bytes in a unit that leaves up to four digits."""
    for unit, factor in (("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= factor:
            return _data(size_bytes, f"{size_bytes / factor:,.1f} {unit}")
    return _data(size_bytes, f"{size_bytes} B")


def _kib(size_bytes: int) -> Markup:
    """SBUF is counted in powers of two."""
    return _data(size_bytes, f"{size_bytes / 1024:,.1f} KiB")


def _change(ns: int) -> Markup:
    return _data(ns, f"{ns / 1000:+,.3f}")


_FILTERS: Mapping[str, Callable[..., object]] = {
    "us": _us,
    "change": _change,
    "count": _count,
    "percent": _percent,
    "size": _size,
    "kib": _kib,
    "with_unit": microseconds,
}
