"""A production of the fuzzer's grammar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.draft import Draft
from tests.fuzz.program import Array

Make = Callable[[Draft], str | None]
Domain = Callable[[Array], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One production. ``make`` gives an expression, or None where no value serves."""

    name: str
    make: Make
    weight: int = 2
