"""Pins as text: one on a command line (``scores.partition=q``), many in a JSON file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from nkigen_cp.errors import ArgumentError
from nkigen_cp.solver.plan.pins import FUSE, KINDS, AnyPin, Fuse, Pin, fuse, pin

FORM = "TENSOR.KIND=VALUE, such as scores.partition=q, or fuse(A,B)"


def parse_pin(text: str) -> AnyPin:
    """``scores.partition=h,q``, ``scores.tile=64`` or ``fuse(scores,e)`` as a pin.

    Raises:
        ArgumentError: the text has another form, or its value is none of those allowed.
    """
    pair = re.fullmatch(r"fuse\(([^,()]+),([^,()]+)\)", text.replace(" ", ""))
    if pair:
        return fuse(pair[1], pair[2])
    left, equals, value = text.partition("=")
    tensor, _, kind = left.rpartition(".")
    if not equals or not tensor or not value:
        raise ArgumentError(f"pin {text!r}: allowed is {FORM}")
    return _pin(tensor, {kind: _value(kind, value)}, f"pin {text!r}")


def _value(kind: str, text: str) -> Any:
    if kind == "partition":
        return tuple(int(a) if re.fullmatch(r"-?\d+", a) else a for a in text.split(","))
    return int(text) if kind == "tile" and text.isdigit() else text


def save_pins(path: str | os.PathLike[str], pins: Iterable[AnyPin]) -> None:
    """Write pins as a JSON file that ``load_pins`` and ``--pins`` read.

    Raises:
        ArgumentError: the file cannot be written.
    """
    text = json.dumps([_entry(p) for p in pins], indent=1) + "\n"
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"pins file {path}: {error.strerror}; give another path") from error


def load_pins(path: str | os.PathLike[str]) -> tuple[AnyPin, ...]:
    """The pins of a JSON file: a list of ``{"tensor": ..., KIND: ...}`` and ``{"fuse": [A, B]}``.

    Raises:
        ArgumentError: the file cannot be read, or an entry is no pin; names it.
    """
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"pins file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ArgumentError(f"pins file {path} is not valid JSON: {error}") from error
    if not isinstance(data, list):
        raise ArgumentError(f"pins file {path}: expected a list of pins")
    entries = cast("list[Any]", data)
    return tuple(_read(e, f"pins file {path}[{k}]") for k, e in enumerate(entries))


def _entry(one: AnyPin) -> dict[str, Any]:
    if isinstance(one, Fuse):
        return {FUSE: [one.first, one.second]}
    asked = {kind: value for kind in KINDS if (value := getattr(one, kind)) is not None}
    return {"tensor": one.tensor, **asked}


def _read(data: Any, where: str) -> AnyPin:
    entry = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if list(entry) == [FUSE]:
        pair: Any = entry[FUSE]
        if isinstance(pair, list) and all(isinstance(n, str) for n in cast("list[Any]", pair)):
            names = cast("list[str]", pair)
            if len(names) == 2:
                return fuse(names[0], names[1])
        raise ArgumentError(f"{where}: fuse takes a list of two tensors")
    rest = {k: v for k, v in entry.items() if k != "tensor"}
    tensor = entry.get("tensor")
    if not isinstance(tensor, str):
        raise ArgumentError(
            f'{where}: expected {{"tensor": NAME, KIND: VALUE}} or {{"fuse": [A, B]}}'
        )
    axes: Any = rest.get("partition")
    if isinstance(axes, list):
        rest["partition"] = tuple(cast("list[Any]", axes))
    return _pin(tensor, rest, where)


_TYPES: dict[str, tuple[type, ...]] = {"partition": (str, int, tuple), "tile": (int,)}
"""What a value may be where it is no text."""


def _pin(tensor: str, asked: dict[str, Any], where: str) -> Pin:
    for kind, value in asked.items():
        if kind not in KINDS:
            raise ArgumentError(f"{where}: {kind!r} is not one of {', '.join(KINDS)}")
        if not isinstance(value, _TYPES.get(kind, (str,))) or isinstance(value, bool):
            raise ArgumentError(f"{where}: {kind} cannot be {value!r}")
    return pin(tensor, **asked)
