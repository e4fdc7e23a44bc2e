# The bodies are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Loops that carry values, from the kernel to the simulator's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError, ShapeError, UnsupportedError
from tests.api.functions import assert_same, normal
from tests.api.test_writes import assert_same as assert_written

numpy: Any = np


def recurrence(x: Any, w: Any) -> Any:
    """A state that every row of x is folded into."""

    def turn(i: int, state: Any) -> Any:
        return np.tanh(state @ w + x[i])

    return cp.fori_loop(0, x.shape[0], turn, x[0] * 0)


def running(x: Any, w: Any) -> Any:
    """Maximum and sum of exponentials with rescaling, one block of columns after the other."""

    def turn(i: int, carry: Any) -> Any:
        block = x[:, 4 * i : 4 * i + 4]
        top = np.maximum(carry["top"], np.max(block, axis=1))
        total = carry["total"] * np.exp(carry["top"] - top)
        return {"top": top, "total": total + np.sum(np.exp(block - top[:, None]), axis=1)}

    start = {"top": x[:, 0] * 0 - 100, "total": w[0, 0] * x[:, 0] * 0}
    found = cp.fori_loop(0, 2, turn, start)
    return found["total"], found["top"]


def counted(x: Any, w: Any) -> Any:
    """What is carried is a number at first."""
    return cp.fori_loop(2, 5, lambda i, c: c + i * numpy.sum(x[i]), 0.0) + w[0, 0]


def nested(x: Any, w: Any) -> Any:
    """A loop in a loop."""

    def inner(i: int, rows: Any) -> Any:
        return cp.fori_loop(0, i + 1, lambda k, r: r * 0.5 + x[k], rows) + w[i]

    return cp.fori_loop(0, 3, inner, w)


CASES: dict[str, Callable[..., Any]] = {
    "recurrence": recurrence,
    "running": running,
    "counted": counted,
    "nested": nested,
    "no turn": lambda x, w: cp.fori_loop(3, 3, lambda _i, c: c + 1, x) @ w,
}


@pytest.mark.parametrize("case", CASES)
def test_loops(case: str) -> None:
    assert_same(CASES[case], [normal(6, 8) * 0.3, normal(8, 8, seed=1) * 0.3])


def test_writes_to_what_is_outside() -> None:
    def fn(x: Any, w: Any) -> None:
        def turn(i: int, carry: Any) -> Any:
            x[i + 1] = x[i] * 0.5 + carry
            return x[i + 1]

        cp.fori_loop(0, x.shape[0] - 1, turn, w)

    assert_written(fn, [normal(6, 8), normal(8, seed=1)])


def test_the_carried_state_stays_on_the_chip() -> None:
    x, w = normal(6, 8), normal(8, 8, seed=1)
    counts = cp.count(cp.lower(cp.solve(cp.trace(recurrence, x, w), effort="fast")))
    assert counts.hbm_written_bytes == 8 * 4


REFUSED: dict[str, tuple[type[Exception], str, Callable[..., Any]]] = {
    "bound": (ArgumentError, "bound hi", lambda x: cp.fori_loop(0, x[0, 0], lambda _i, c: c, x)),
    "float": (ArgumentError, "bound lo", lambda x: cp.fori_loop(0.5, 3, lambda _i, c: c, x)),
    "shape": (ShapeError, "turn 0", lambda x: cp.fori_loop(0, 3, lambda _i, c: c[0], x)),
    "dtype": (ArgumentError, "bool", lambda x: cp.fori_loop(0, 3, lambda _i, c: c > 0, x)),
    "structure": (ArgumentError, "another", lambda x: cp.fori_loop(0, 3, lambda _i, c: (c, c), x)),
    "turns": (UnsupportedError, "512", lambda x: cp.fori_loop(0, 999, lambda _i, c: c, x)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    error, words, function = REFUSED[case]
    with pytest.raises(error, match=rf"(?s){words}.*test_fori_loop"):
        cp.trace(function, normal(3, 4))
