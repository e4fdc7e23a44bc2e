"""What commands print: text for people, or one JSON value for programs (``--json``)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``, as ``as_json``."""
    option = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON value instead of text."
    )
    return option(function)


def print_json(value: Any) -> None:
    """Print a value made of dataclasses, mappings, sequences, paths and numbers."""
    click.echo(json.dumps(plain(value), indent=1))


def plain(value: Any) -> Any:
    """The value in JSON's types; what is no number becomes null, for which JSON has no word."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(v) for v in cast("Sequence[Any]", value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
