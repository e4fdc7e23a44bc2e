# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
"""Values put where indices say, row by row, from the kernel to the simulator's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import IndexUnsupportedError, ShapeError, UnsupportedError
from tests.api.functions import normal
from tests.api.test_writes import assert_same

numpy: Any = np
OUTSIDE = np.ones((5, 6))
Shape = tuple[int, ...]
ALONG: dict[str, tuple[Shape, Shape, Shape, int | None]] = {
    "few": ((5, 6), (5, 3), (5, 3), 1),
    "as many as there are": ((5, 6), (5, 17), (5, 17), 1),
    "the first axis": ((5, 6), (3, 6), (3, 6), 0),
    "above the partitions": ((200, 40), (200, 12), (200, 12), -1),
    "one index for all rows": ((3, 7, 4), (1, 12, 1), (4,), 1),
    "rows written several times": ((1, 7, 4), (3, 4, 4), (3, 4, 4), 1),
    "one number": ((5, 6), (5, 2), (), 1),
    "one row": ((400,), (9,), (9,), 0),
    "one row, most of it": ((40,), (9,), (9,), 0),
    "all elements": ((3, 4), (7,), (7,), None),
    "one position": ((5, 1), (5, 3), (5, 3), 1),
    "in windows": ((2, 2060), (2, 9), (2, 9), 1),
}


def _indices(shape: Shape, size: int, seed: int = 2) -> Any:
    return np.random.default_rng(seed).integers(-size, size, shape).astype(np.int32)


@pytest.mark.parametrize("case", ALONG)
def test_put_along_axis(case: str) -> None:
    shape, indices, values, axis = ALONG[case]
    size = int(np.prod(shape)) if axis is None else shape[axis]
    given = [normal(*shape), _indices(indices, size), normal(*values, seed=1)]
    assert_same(lambda x, i, v: numpy.put_along_axis(x, i, v, axis), given)


@pytest.mark.parametrize(
    ("kind", "index"), [("bfloat16", "int8"), ("int32", "uint32"), ("uint8", "uint16")]
)
def test_dtypes(kind: str, index: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    table, values = (np.abs(np.rint(normal(20, n) * 9)).astype(dtype) for n in (30, 11))
    ids = (_indices((20, 11), 30) % 30).astype(index)
    assert_same(lambda x, i, v: numpy.put_along_axis(x, i, v, 1), [table, ids, values])


def _own_array(x: Any, i: Any, v: Any) -> Any:
    made = np.zeros((5, 6), np.float32)
    np.put_along_axis(made, i, v, 1)
    return made + x


def _known_indices(x: Any, i: Any, v: Any) -> None:
    np.put_along_axis(x[:, ::2], np.array([[2, 0, 2]] * 5), v + i * 0, axis=-1)


def _all_known(x: Any, i: Any, v: Any) -> Any:
    made = np.zeros((5, 6), np.float32)
    before = made[1:]
    np.put_along_axis(made, np.array([[2, 0, 2]] * 5), np.float32(3), axis=-1)
    return before + x[1:] + i[0, 0] + v[0, 0]


def _nothing(x: Any, i: Any, v: Any) -> Any:
    np.put_along_axis(x, i[:, :0], v[:, :0], 1)
    return x + v[0, 0]


def _inverse(x: Any, i: Any, v: Any) -> Any:
    order = np.argsort(x + v[:, :1], axis=-1)
    inverse = np.zeros((5, 6), np.int32)
    np.put_along_axis(inverse, order, np.arange(6, dtype=np.int32)[None], axis=-1)
    return inverse + i[0, 0]


FORMS: dict[str, Callable[..., Any]] = {
    "a view of columns": lambda x, i, v: np.put_along_axis(x[:, ::-1], i, v, axis=1),
    "an array of its own": _own_array,
    "known indices": _known_indices,
    "all known": _all_known,
    "the inverse of an order": _inverse,
    "no index": _nothing,
    "put": np.put,
    "put in a view": lambda x, i, v: np.put(x[1:, 2:], i, v),
    "put known": lambda x, i, v: np.put(x, [3, -1, 3], v[0] + i[0, 0]),
    "put repeated": lambda x, i, v: np.put(x, i, v[0, :2]),
    "put clipped": lambda x, i, v: np.put(x, i * 40, v, mode="clip"),
    "put wrapped": lambda x, i, v: np.put(x, i * 7, v, mode="wrap"),
    "putmask": lambda x, _, v: np.putmask(x, x > v[0, 0], v + v[0, 0]),
    "putmask a number": lambda x, _, v: np.putmask(x, x > v[0, 0], v[0, 0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    assert_same(FORMS[form], [normal(5, 6), _indices((5, 3), 6), normal(5, 3, seed=1)])


REFUSED: dict[str, tuple[type[Exception], str, Callable[..., Any]]] = {
    "ranks": (ShapeError, "same number of dims", lambda x, i: np.put_along_axis(x, i[0], x, 1)),
    "shapes": (ShapeError, "do not broadcast", lambda x, i: np.put_along_axis(x, i[:2], 1, 1)),
    "flat": (ShapeError, "one dim", lambda x, i: np.put_along_axis(x, i, 1, None)),
    "floats": (IndexUnsupportedError, "integers", lambda x, i: np.put_along_axis(x, x + i, 1, 0)),
    "known floats": (IndexUnsupportedError, "float", lambda x, i: numpy.put(x, [1.5], i)),
    "outside": (
        UnsupportedError,
        "from outside",
        lambda x, i: np.put_along_axis(OUTSIDE, i, x, 1),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    error, words, function = REFUSED[case]
    with pytest.raises(error, match=rf"(?s){words}.*test_placing"):
        cp.trace(function, normal(5, 6), _indices((5, 6), 6))
