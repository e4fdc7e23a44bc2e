"""Writes: subscripts as targets, and the functions of numpy that write into their arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nkigen_cp.errors import ShapeError, TargetIndexError, UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.content import Line, Patch, Positions
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.gathering import picked_spot, scatter
from nkigen_cp.frontend.indexing import Selection, expand, parts_of, picks, select
from nkigen_cp.frontend.memory import duplicate_of, same_place, write
from nkigen_cp.frontend.operands import as_array
from nkigen_cp.frontend.shape import broadcast_to, reshape, transpose
from nkigen_cp.frontend.tensor import TracedTensor


def setitem(x: TracedTensor, key: object, value: Any, /) -> None:
    """``x[key] = value``; every view of the same memory sees it.

    Raises:
        TargetIndexError: newaxis in the subscript.
        ShapeError: the value does not broadcast to the window, or an index is out of bounds.
        IndexUnsupportedError: an index is a traced tensor.
    """
    if any(part is None for part in parts_of(key)):
        raise located(
            TargetIndexError,
            "newaxis (None) in an assignment target is not supported; leave it out and give the "
            "value the dims of the window",
        )
    if picks(key):
        _set_picked(x, expand(key, x.shape), value)
        return
    if isinstance(value, TracedTensor) and value.is_known:
        value = value.builder.values(value)
    if x.is_known and not isinstance(value, TracedTensor):
        _set_known(x, key, value)
        return
    builder = x.builder
    builder.reading = False
    try:
        chosen = select(x, key)
    finally:
        builder.reading = True
    if isinstance(value, TracedTensor) and chosen.rows is None and same_place(chosen.view, value):
        return  # what x[i] += y has written already
    source = value if isinstance(value, TracedTensor) else _constant(chosen.view, value)
    write(chosen.view, _patch(chosen, _fitted(chosen, source)))


def _set_picked(x: TracedTensor, parts: list[Any], value: Any) -> None:
    """Write where a traced index says: into all that it may pick from."""
    spot = picked_spot(parts)
    key = tuple(spot.others)
    view = select(x, key).view
    source = value if isinstance(value, TracedTensor) else _constant(view, value)
    count, dim = spot.index.ndim, spot.dim
    if not spot.is_in_place:  # the index's dims come first in the value
        rest = (*view.shape[:dim], *view.shape[dim + 1 :])
        source = broadcast_to(source, (*spot.index.shape, *rest))
        order = [*range(count, count + dim), *range(count), *range(count + dim, source.ndim)]
        source = transpose(source, order)
    setitem(x, key, scatter(view, dim, spot.index, source))


def _set_known(x: TracedTensor, key: Any, value: Any) -> None:
    """Numpy writes what is known into what is known."""
    x.builder.values(x)[key] = value
    x.memory.filled = None
    x.memory.version += 1


def _constant(target: TracedTensor, value: Any) -> TracedTensor:
    """A captured value in the dtype it is stored in."""
    array = as_array(value)
    with np.errstate(all="ignore"):
        return target.builder.constant(array.astype(target.element.numpy))


def _fitted(chosen: Selection, source: TracedTensor) -> TracedTensor:
    """The value with one dim for all index arrays, and none too many.

    Raises:
        ShapeError: it does not broadcast to the window.
    """
    shape = chosen.shape
    extra = max(0, source.ndim - len(shape))
    given = source.shape[extra:]
    fits = all(n in (1, m) for n, m in zip(given[::-1], shape[::-1], strict=False))
    if not fits or any(n != 1 for n in source.shape[:extra]):
        raise located(
            ShapeError,
            f"could not broadcast a value of shape {source.shape} into a window of shape {shape}",
        )
    source = reshape(source, given)
    if chosen.rows is None or chosen.rows.ndim == 1:
        return source
    return reshape(broadcast_to(source, shape), chosen.view_shape)


def _patch(chosen: Selection, source: TracedTensor) -> Patch:
    """The value laid over the window; of equal positions the last one wins."""
    skipped = len(chosen.view_shape) - source.ndim
    lines: list[Line] = []
    for dim, size in enumerate(chosen.view_shape):
        row = np.arange(size, dtype=np.int64)
        line = Line(to=row, at=row, source=dim - skipped)
        if chosen.rows is not None and dim == chosen.dim:
            line = replace(line, to=(rows := chosen.rows.ravel()))
            line = line.taken(np.isin(row, last_places(rows)))
        if dim < skipped or source.shape[dim - skipped] == 1:
            line = replace(line, at=np.zeros_like(line.at), source=None)
        lines.append(line)
    return Patch(value=duplicate_of(source), lines=tuple(lines), base=(0,) * source.ndim)


def last_places(rows: Positions) -> Positions:
    """Where in a row of positions each of them stands for the last time."""
    _, places = np.unique(rows[::-1], return_index=True)
    return rows.size - 1 - places.astype(np.int64)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """``numpy.copyto``: ``dst[...] = src``, where a mask holds.

    Raises:
        UnsupportedError: ``dst`` is an array from outside of the traced function.
    """
    del casting
    if not isinstance(dst, TracedTensor):
        raise located(
            UnsupportedError,
            f"copyto: the destination is a {type(dst).__name__} from outside of the traced "
            "function; only its arguments and what it makes itself can be written to",
        )
    setitem(dst, ..., src if where is True else elementwise("select", where, src, dst))


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    operator.setitem: setitem,
    np.copyto: copyto,
}
