"""What pictures are made of; one template draws them all."""

from __future__ import annotations

import math
from dataclasses import dataclass

NESTS = 8
"""Colours of nests; of more nests some share theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle. ``kind`` is its style, ``title`` what it says when pointed at.

    It is highlighted with its ``tensor``, and with every tensor that its ``step`` touches.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""
    label: str = ""
    tensor: str = ""
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A path in SVG's words, of a style; highlighted with its ``tensor``."""

    path: str
    kind: str
    title: str = ""
    tensor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words at a place; ``anchor`` is "start", "middle" or "end"."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing; ``says`` is what it shows in words, for those who do not see it."""

    width: float
    height: float
    says: str
    boxes: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()
    texts: tuple[Text, ...] = ()


def nest_kind(number: int) -> str:
    """The style of a nest by its place among all."""
    return f"n{number % NESTS}"


def short_name(tensor: str) -> str:
    """The end of a tensor's name; a window's with that of what it is a window of."""
    parts = tensor.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def ticks(most: float, wanted: int = 8) -> list[float]:
    """Round numbers from 0 to ``most``, about as many as wanted."""
    if most <= 0:
        return [0.0]
    rough = most / wanted
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(m * scale for m in (1, 2, 5, 10) if m * scale >= rough)
    return [k * step for k in range(int(most / step) + 1)]


def at(value: float) -> float:
    """A coordinate to a tenth: pixels are no finer."""
    return round(value, 1)


def microseconds(ns: float) -> str:
    """A time to the nanosecond."""
    return f"{ns / 1000:,.3f} µs"
