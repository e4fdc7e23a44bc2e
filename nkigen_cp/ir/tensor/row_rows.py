"""Rows of the ops that take and make whole rows: scans, extremes in order, places of values.

A meaning gets its operands with the row as the last axis; ``length`` is that of the rows it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkigen_cp.ir.tensor.row import Family, OpRow, Result

ABSENT = 2**32 - 1
"""The place of a value that a row does not have."""


def _running(fold: np.ufunc) -> Callable[..., Any]:
    def meaning(x: Any, *, length: int) -> Any:
        del length
        return fold.accumulate(x, axis=-1)

    return meaning


def top(x: Any, *, length: int) -> Any:
    """The largest elements of a row in descending order; nan counts as less than all numbers."""
    values = np.asarray(x)
    if values.dtype.kind in "iu":
        return np.flip(np.sort(values, axis=-1), axis=-1)[..., :length]
    return -np.sort(-values, axis=-1)[..., :length]


def find(x: Any, values: Any, *, length: int) -> Any:
    """Where a row has each of the values; the n-th of equal ones where it has it the n-th time."""
    rows = np.asarray(x)
    wanted = np.broadcast_to(values, (*rows.shape[:-1], length))
    places = np.full(wanted.shape, ABSENT, np.int64)
    for k in range(length):
        sought = wanted[..., k : k + 1]
        again = np.sum(wanted[..., :k] == sought, axis=-1, keepdims=True)
        hit = np.cumsum(rows == sought, axis=-1) == again + 1
        place = np.argmax(hit, axis=-1)
        places[..., k] = np.where(np.any(hit, axis=-1), place, ABSENT)
    return places


def _scan(name: str, fold: np.ufunc, alu: str, doc: str) -> OpRow:
    return OpRow(name=name, family=Family.ROW, arity=1, meaning=_running(fold), alu=alu, doc=doc)


ROW_ROWS: tuple[OpRow, ...] = (
    _scan("cumsum", np.add, "add", "sums of all elements up to each one of a row"),
    _scan("cumprod", np.multiply, "multiply", "products of all elements up to each one of a row"),
    _scan("cummax", np.maximum, "maximum", "the largest element up to each one of a row"),
    _scan("cummin", np.minimum, "minimum", "the smallest element up to each one of a row"),
    OpRow(
        name="top",
        family=Family.ROW,
        arity=1,
        meaning=top,
        doc="the largest elements of a row in descending order, as many as the result has",
    ),
    OpRow(
        name="find",
        family=Family.ROW,
        arity=2,
        meaning=find,
        result=Result.INDEX,
        doc="where a row has values, the n-th of equal ones where it has it the n-th time",
    ),
)
