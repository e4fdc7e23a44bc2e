"""Reading a target file: one JSON object, each figure beside its source.

A figure is ``{"value": ..., "source": "..."}``; ``engines``, ``dma`` and ``alu_ops`` group figures.
The keys allowed and their types follow from the fields of ``Target`` and its parts.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from nkigen_cp.errors import TargetError
from nkigen_cp.targets.target import DmaFacts, EngineFacts, Target

ENGINES = ("tensor", "vector", "scalar", "gpsimd")
ALU_ENGINES = ("vector", "scalar", "gpsimd")

# A cost may be nothing and a chip may have no DMA transpose; any other number divides or counts.
_MAY_BE_ZERO = frozenset(
    {
        "start_cycles",
        "gap_ns",
        "write_drain_ns",
        "sem_to_start_ns",
        "min_descriptor_ns",
        "transfer_overhead_ns",
        "latency_ns",
        "queue_issue_ns",
        "transpose_fraction",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What values a field accepts, how to say so, and the field's value made of one."""

    allowed: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    value: Any
    source: str


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(_is_name(v) for v in cast("list[Any]", value))


_NAMES = _Kind(allowed="a list of names", accepts=_is_names, convert=tuple)

# (annotation of the field, may be zero) -> kind; fields of other types are groups of figures.
_KINDS: Mapping[tuple[str, bool], _Kind] = {
    ("str", False): _Kind(allowed="a name", accepts=_is_name, convert=str),
    ("bool", False): _Kind(
        allowed="true or false", accepts=lambda v: isinstance(v, bool), convert=bool
    ),
    ("int", False): _Kind(
        allowed="a whole number above 0", accepts=lambda v: _is_int(v) and v > 0, convert=int
    ),
    ("int", True): _Kind(
        allowed="a whole number from 0 up", accepts=lambda v: _is_int(v) and v >= 0, convert=int
    ),
    ("float", False): _Kind(
        allowed="a finite number above 0", accepts=lambda v: _is_number(v) and v > 0, convert=float
    ),
    ("float", True): _Kind(
        allowed="a finite number from 0 up",
        accepts=lambda v: _is_number(v) and v >= 0,
        convert=float,
    ),
    ("tuple[str, ...]", False): _NAMES,
}


def _kinds_of(part: type[Any], prefix: str = "") -> dict[str, _Kind]:
    """Dotted key -> kind, for the fields of a dataclass that are figures of their own."""
    keys = ((f.name, (str(f.type), f.name in _MAY_BE_ZERO)) for f in fields(part))
    return {prefix + name: _KINDS[key] for name, key in keys if key in _KINDS}


def _schema() -> dict[str, _Kind]:
    schema = _kinds_of(Target)
    schema |= {f"alu_ops.{engine}": _NAMES for engine in ALU_ENGINES}
    for engine in ENGINES:
        schema |= _kinds_of(EngineFacts, f"engines.{engine}.")
    return schema | _kinds_of(DmaFacts, "dma.")


_SCHEMA = _schema()
_GROUPS = frozenset(
    ".".join(parts[:depth])
    for parts in (key.split(".") for key in _SCHEMA)
    for depth in range(1, len(parts))
)


def load_target(path: str | os.PathLike[str]) -> Target:
    """The target described by a JSON file.

    Raises:
        TargetError: the file cannot be read, is no JSON object, lacks a key, has an unknown key or
            a value of the wrong type; names the file, the dotted key and what is allowed.
    """
    file = Path(path)
    figures = _figures(_read(file), file)
    for key, kind in _SCHEMA.items():
        if key not in figures:
            raise TargetError(
                f"{file}: key {key!r} is missing; "
                f'add {{"value": {kind.allowed}, "source": where it comes from}}'
            )
        if not kind.accepts(figures[key].value):
            given = figures[key].value
            raise TargetError(f"{file}: {key!r} is {given!r}; allowed is {kind.allowed}")
    return _build(figures)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise TargetError(
            f"{file}: cannot be read ({reason}); give the path of a target file"
        ) from error
    except ValueError as error:
        raise TargetError(f"{file}: is not JSON ({error}); a target file is one object") from error
    if not isinstance(content, dict):
        raise TargetError(
            f"{file}: holds a {type(content).__name__}; allowed is one object of figures"
        )
    return cast("dict[str, Any]", content)


def _figures(node: Mapping[str, Any], file: Path, prefix: str = "") -> dict[str, _Figure]:
    """The figures of a nested object by dotted key."""
    found: dict[str, _Figure] = {}
    for name, entry in node.items():
        key = prefix + name
        if key not in _SCHEMA and key not in _GROUPS:
            raise TargetError(f"{file}: unknown key {key!r}; {_suggestion(key)}")
        if not isinstance(entry, dict):
            raise TargetError(
                f'{file}: {key!r} is {entry!r}; allowed is {{"value": ..., "source": "..."}}'
            )
        content = cast("dict[str, Any]", entry)
        if key in _GROUPS:
            found |= _figures(content, file, f"{key}.")
        else:
            found[key] = _figure(content, file, key)
    return found


def _figure(entry: Mapping[str, Any], file: Path, key: str) -> _Figure:
    source = entry.get("source")
    if sorted(entry) != ["source", "value"] or not isinstance(source, str) or not source:
        raise TargetError(
            f"{file}: {key!r} has the keys {sorted(entry)}; allowed are exactly 'value' and "
            "'source', a text saying where the figure comes from"
        )
    return _Figure(value=entry["value"], source=source)


def _suggestion(key: str) -> str:
    near = difflib.get_close_matches(key, _SCHEMA, n=1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(_SCHEMA)}"


def _build(figures: Mapping[str, _Figure]) -> Target:
    values = {key: kind.convert(figures[key].value) for key, kind in _SCHEMA.items()}

    def part(kind: type[Any], prefix: str = "") -> dict[str, Any]:
        return {key.removeprefix(prefix): values[key] for key in _kinds_of(kind, prefix)}

    return Target(
        **part(Target),
        engines={e: EngineFacts(**part(EngineFacts, f"engines.{e}.")) for e in ENGINES},
        dma=DmaFacts(**part(DmaFacts, "dma.")),
        alu_ops={e: values[f"alu_ops.{e}"] for e in ALU_ENGINES},
        sources={key: figures[key].source for key in _SCHEMA},
    )
