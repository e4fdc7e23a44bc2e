"""Pictures of latencies, drawn by matplotlib where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkigen_cp.errors import ArgumentError

FORMATS = (".svg", ".png", ".pdf")

plot_option = click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Also draw the latencies (svg, png or pdf); needs the extra 'plot'.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One bar of a plot: a latency and the roofline it is held against."""

    label: str
    latency_ns: float
    roofline_ns: float


Draw = Callable[[Sequence[Mark], str, Console], None]


def drawing(path: Path | None) -> Draw:
    """What draws latencies and rooflines as bars into the file, and says so; nothing for no file.

    Asked for before anything is solved, so that what cannot be drawn costs no time.

    Raises:
        ArgumentError: matplotlib is missing, or the file's ending is none of ``FORMATS``.
    """
    if path is None:
        return lambda marks, title, console: None
    if path.suffix not in FORMATS:
        raise ArgumentError(f"--plot {path}: the file must end in one of {', '.join(FORMATS)}")
    try:  # only here: the import takes a second, and its types are not ours to check
        figure: Any = importlib.import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ArgumentError(
            "--plot needs matplotlib: pip install matplotlib, or leave --plot out"
        ) from error

    def draw(marks: Sequence[Mark], title: str, console: Console) -> None:
        try:
            _drawn(figure, marks, title).savefig(path)
        except OSError as error:
            raise ArgumentError(f"--plot {path}: cannot be written ({error.strerror})") from error
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)

    return draw


def _drawn(figure: Any, marks: Sequence[Mark], title: str) -> Any:
    """A figure of one horizontal bar per mark, the roofline as a tick on it."""
    labels = [m.label for m in marks]
    picture = figure(figsize=(8, 1.2 + 0.4 * len(marks)), layout="constrained")
    axes = picture.subplots()
    axes.barh(labels, [m.latency_ns / 1000 for m in marks], color="#4c78a8", label="latency")
    axes.plot([m.roofline_ns / 1000 for m in marks], labels, "|k", ms=14, label="roofline")
    axes.invert_yaxis()
    axes.set(title=title, xlabel="modelled latency, us", xlim=(0, None))
    axes.legend(frameon=False)
    return picture
