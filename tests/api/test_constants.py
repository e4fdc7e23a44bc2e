"""Constants of any content: made on chip where an affine form says what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.solver.plan import Generate
from tests.api.functions import assert_same, normal

ROWS, COLUMNS = 37, 300
_GRID: Any = np.reshape(np.arange(ROWS * COLUMNS), (ROWS, COLUMNS))
_AWAY: Any = np.abs(np.arange(ROWS)[:, None] - np.arange(COLUMNS))
_NOISE: Any = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
_SEEN: Any = np.tri(ROWS, COLUMNS, 200, dtype=bool)
where: Any = np.where

MADE: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "uniform": (lambda a: a + np.full((ROWS, 1), 2.5, np.float32), []),
    "row numbers": (lambda a: a + np.arange(ROWS)[:, None], ["iota"]),
    "column numbers": (lambda a: a * np.arange(COLUMNS, dtype=np.float32), ["iota"]),
    "both": (lambda a: a + (_GRID * 3 - 7).astype(np.float32), ["iota"]),
    "downwards": (lambda a: a + np.arange(COLUMNS, 0, -1).astype(np.float32), ["iota"]),
    "eye": (lambda a: a + np.eye(ROWS, COLUMNS, 5, dtype=np.float32), ["memset", "affine_select"]),
    "tri": (lambda a: a * np.tri(ROWS, COLUMNS, 3, dtype=np.float32), ["memset", "affine_select"]),
    "band": (lambda a: where(_AWAY < 4, a, 0.0), ["memset", "affine_select", "affine_select"]),
    "infinite": (
        lambda a: a + where(_SEEN, np.float32(0), np.float32(-np.inf)),
        ["memset", "affine_select"],
    ),
}


def _plan(function: Callable[..., Any], *arrays: Any) -> cp.Plan:
    return cp.solve(cp.trace(function, *arrays), effort="fast")


@pytest.mark.parametrize(("function", "instructions"), MADE.values(), ids=MADE.keys())
def test_structured_constants_are_made_on_chip(function: Any, instructions: list[str]) -> None:
    plan = _plan(function, normal(ROWS, COLUMNS))
    made = [[*s.spec.instructions] for s in plan.steps if isinstance(s.spec, Generate)]
    assert made == ([instructions] if instructions else [])
    assert not cp.lower(plan).bound_inputs
    assert_same(function, [normal(ROWS, COLUMNS)])


@pytest.mark.parametrize(
    "held",
    [
        _NOISE,
        where(_NOISE > 0, np.float32(1), np.float32(0)),
        _GRID.astype(np.float32) * 0.1,
        where(_GRID == 7, np.float32(np.nan), np.float32(1)),
    ],
    ids=["noise", "two values anywhere", "broken steps", "nan"],
)
def test_any_other_constant_is_an_input(held: Any) -> None:
    def function(a: Any) -> Any:
        return a + held

    assert len(cp.lower(_plan(function, normal(ROWS, COLUMNS))).bound_inputs) == 1
    assert_same(function, [normal(ROWS, COLUMNS)])
