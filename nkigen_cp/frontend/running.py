"""Running sums, products and extremes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nkigen_cp.frontend.blocks import cut, end_to_end
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.operands import cast_to
from nkigen_cp.frontend.reductions import FOLDS, WIDE_SUMS, reduce
from nkigen_cp.frontend.rowwise import EXACT, call, in_rows, scan, whole_as
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import FLOAT32

LONG = 8192
"""Elements of a row above which its blocks are folded side by side."""

SMALL = {"bool": 1, "int8": 2**7, "uint8": 2**8, "int16": 2**15, "uint16": 2**16}
"""The largest magnitude of integers that float32 holds many sums of."""


_RUNNING: dict[str, np.ufunc] = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
}
_FOLDS = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min"}


def accumulate(kind: str, x: TracedTensor, axis: Any, dtype: object = None) -> TracedTensor:
    """A running fold along an axis, of integers in integers."""
    if dtype is not None:
        element = x.builder.narrowed(dtype)
        x = cast_to(x, element)
        if kind in ("cumsum", "cumprod") and element.size_bytes < 4 and not element.is_float:
            return cast_to(accumulate(kind, x, axis), element)  # modulo its range
    elif kind in ("cumsum", "cumprod"):
        wide = WIDE_SUMS.get(x.element.kind, x.element)
        if kind == "cumsum" and 0 < x.size * SMALL.get(x.element.name, EXACT) < EXACT:
            return whole_as(accumulate(kind, cast_to(x, FLOAT32), axis), wide)
        x = cast_to(x, wide)
    return in_rows(x, axis, lambda rows: _folded(kind, rows))


def _folded(kind: str, rows: TracedTensor) -> TracedTensor:
    size = rows.shape[-1]
    if size <= 1:
        return rows
    if rows.element.size_bytes == 4 and not rows.element.is_float:
        return _doubling(_RUNNING[kind], rows)
    if size <= LONG:
        return scan(kind, rows)
    return cast_to(_in_blocks(kind, cast_to(rows, FLOAT32)), rows.element)


def _in_blocks(kind: str, rows: TracedTensor) -> TracedTensor:
    """Every block folded by itself, then with what comes before it."""
    where: Any = np.where
    parts = [scan(kind, b.rows) for b in cut(rows, 1)]
    totals: Any = end_to_end([call(operator.getitem, p, (..., -1)) for p in parts])
    earlier = np.tri(totals.shape[-1], k=-1, dtype=np.bool_)
    done: list[Any] = []
    first = 0
    for part in parts:
        behind = first + part.shape[-2]
        before = where(earlier[first:behind], totals[..., None, :], FOLDS[_FOLDS[kind]].neutral)
        folded: Any = _RUNNING[kind](part, reduce(_FOLDS[kind], before, -1, True, None))
        done.append(folded.reshape((*rows.shape[:-1], -1)))
        first = behind
    return end_to_end(done)


def _doubling(fold: Any, rows: Any) -> Any:
    """Folds of 1, 2, 4, ... elements: exact integers, which no scan instruction has."""
    reach = 1
    while reach < rows.shape[-1]:
        more = fold(rows[..., reach:], rows[..., :-reach])
        rows = np.concatenate([rows[..., :reach], more], axis=-1)
        reach *= 2
    return rows


def _running(kind: str, default: int | None) -> Handler:
    def handle(a: TracedTensor, axis: Any = default, dtype: object = None) -> TracedTensor:
        return accumulate(kind, a, axis, dtype)

    return handle


UFUNC_METHODS: dict[tuple[np.ufunc, str], Handler] = {
    (ufunc, "accumulate"): _running(kind, 0) for kind, ufunc in _RUNNING.items()
}
FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.cumsum: _running("cumsum", None),
    np.cumprod: _running("cumprod", None),
}
