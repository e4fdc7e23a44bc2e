"""Pictures of latencies, drawn by matplotlib where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkigen_cp.errors import ArgumentError

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


def plot(marks: Sequence[Mark], path: Path, title: str) -> None:
    """Latencies and rooflines as horizontal bars; the file's ending says the format.

    Raises:
        ArgumentError: matplotlib is missing, the format is unknown or the file cannot be written.
    """
    try:  # only here: the import takes a second, and its types are not ours to check
        figure: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ArgumentError(
            "--plot needs matplotlib: pip install 'nkigen-cp[plot]', or leave --plot out"
        ) from error
    labels = [m.label for m in marks]
    drawing = figure.Figure(figsize=(8, 1.2 + 0.4 * len(marks)), layout="constrained")
    axes = drawing.subplots()
    axes.barh(labels, [m.latency_ns / 1000 for m in marks], color="#4c78a8", label="latency")
    axes.plot([m.roofline_ns / 1000 for m in marks], labels, "|k", ms=14, label="roofline")
    axes.invert_yaxis()
    axes.set(title=title, xlabel="modelled latency, us", xlim=(0, None))
    axes.legend(frameon=False)
    try:
        drawing.savefig(path)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--plot {path}: cannot be written ({error})") from error


def show_plot(marks: Sequence[Mark], path: Path | None, title: str, console: Console) -> None:
    """Write the plot that was asked for and say so."""
    if path is not None:
        plot(marks, path, title)
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
