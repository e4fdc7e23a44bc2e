"""Functions that move data, and subscripts by arrays that are known while tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend import spec, trace

numpy: Any = np
ROWS = np.array([2, 0, 0, 1])
MASK = np.array([True, False, True])

Fn = Callable[[Any], Any]
CASES: dict[str, tuple[tuple[int, ...], Fn]] = {
    "flip": ((2, 3, 4), numpy.flip),
    "flip one": ((2, 3, 4), lambda x: numpy.flip(x, axis=1)),
    "flip two": ((2, 3, 4), lambda x: numpy.flip(x, (0, -1))),
    "flipud": ((3, 4), numpy.flipud),
    "fliplr": ((3, 4), numpy.fliplr),
    "roll": ((3, 4), lambda x: numpy.roll(x, 5)),
    "roll one": ((3, 4), lambda x: numpy.roll(x, -1, axis=1)),
    "roll two": ((3, 4), lambda x: numpy.roll(x, (1, 2), axis=(0, 1))),
    "tile": ((3, 4), lambda x: numpy.tile(x, 2)),
    "tile more": ((3, 4), lambda x: numpy.tile(x, (2, 3, 1))),
    "tile fewer": ((2, 3, 4), lambda x: numpy.tile(x, (2, 2))),
    "array_split": ((7, 2), lambda x: numpy.array_split(x, 3)),
    "array_split at": ((7, 2), lambda x: numpy.array_split(x, [2, 3])),
    "hstack": ((3, 4), lambda x: numpy.hstack([x, x * 2])),
    "hstack of vectors": ((4,), lambda x: numpy.hstack([x, x * 2])),
    "vstack": ((4,), lambda x: numpy.vstack([x, x * 2])),
    "diff": ((3, 5), numpy.diff),
    "diff twice": ((3, 5), lambda x: numpy.diff(x, n=2, axis=0)),
    "diff with ends": ((3, 5), lambda x: numpy.diff(x, prepend=0, append=x[:, :2])),
    "pad": ((3, 4), lambda x: numpy.pad(x, 2)),
    "pad each": ((3, 4), lambda x: numpy.pad(x, ((0, 1), (2, 0)), constant_values=3)),
    "pad edge": ((3, 4), lambda x: numpy.pad(x, 2, mode="edge")),
    "pad reflect": ((3, 4), lambda x: numpy.pad(x, ((1, 2), (3, 0)), mode="reflect")),
    "pad symmetric": ((3, 4), lambda x: numpy.pad(x, 2, mode="symmetric")),
    "pad wrap": ((3, 4), lambda x: numpy.pad(x, 2, mode="wrap")),
    "diagonal": ((4, 4), numpy.diagonal),
    "diagonal above": ((2, 3, 5), lambda x: numpy.diagonal(x, 1, 1, 2)),
    "diagonal below": ((4, 3), lambda x: numpy.diagonal(x, -2)),
    "trace": ((4, 4), lambda x: numpy.trace(x, 1)),
    "tril": ((2, 4, 5), numpy.tril),
    "triu": ((4, 5), lambda x: numpy.triu(x, -1)),
    "repeat": ((3, 2), lambda x: numpy.repeat(x, 2, axis=0)),
    "repeat each": ((3, 2), lambda x: numpy.repeat(x, [2, 0, 3], axis=0)),
    "take": ((3, 4), lambda x: numpy.take(x, [3, 1, 1], axis=1)),
    "take flat": ((3, 4), lambda x: numpy.take(x, [[3, 11], [0, -1]])),
    "take wrapped": ((3, 4), lambda x: numpy.take(x, [5, -1], axis=0, mode="wrap")),
    "take clipped": ((3, 4), lambda x: numpy.take(x, [5, 1], axis=0, mode="clip")),
    "rows": ((3, 4), lambda x: x[ROWS]),
    "rows and columns": ((3, 4), lambda x: x[ROWS, ROWS]),
    "crossed": ((3, 4), lambda x: x[ROWS[:, None], np.arange(3)]),
    "apart": ((3, 4, 5), lambda x: x[ROWS, :, ROWS]),
    "with an integer": ((3, 4, 5), lambda x: x[:, ROWS, 1]),
    "after a slice": ((3, 4, 5), lambda x: x[::2, None, ..., [0, -1]]),
    "a mask": ((3, 4), lambda x: x[MASK]),
    "a mask of both": ((3, 3), lambda x: x[np.eye(3, dtype=bool)]),
    "no index": ((3, 4), lambda x: x[np.zeros(0, int)]),
    "a list": ((3, 4), lambda x: x[:, [1, 2]]),
}


@pytest.mark.parametrize("case", CASES)
def test_as_numpy(agrees: Any, data: Any, case: str) -> None:
    shape, function = CASES[case]
    agrees(function, data(shape))


ERRORS: list[tuple[Fn, str]] = [
    (lambda x: x[[0, 3]], "index 3 is out of bounds for indexed dim 0 of size 3"),
    (lambda x: x[[0, 1], [4, -5]], "out of bounds"),
    (lambda x: x[[0, 1], [0, 1, 2]], "do not broadcast"),
    (lambda x: numpy.repeat(x, [1, 2], axis=0), "2 counts for dim 0 of size 3"),
    (lambda x: numpy.repeat(x, -1, axis=0), "must not be negative"),
    (lambda x: numpy.pad(x, -1), "must not be negative"),
    (lambda x: numpy.pad(x, 4, mode="reflect"), "at most 2 positions"),
    (lambda x: numpy.array_split(x, 0), "larger than 0"),
    (lambda x: numpy.roll(x, (1, 2, 3), axis=(0, 1)), "3 shifts for 2 axes"),
]


@pytest.mark.parametrize(("function", "words"), ERRORS)
def test_errors(function: Fn, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        trace(function, spec((3, 4)))
