"""Concatenation, stacking, splitting and repetition."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend import gathering
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.content import Patch, joined, single, whole
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.indexing import getitem
from nkigen_cp.frontend.operands import (
    as_tensor,
    builder_of,
    common_dtype,
    copy,
    normalize_axis,
)
from nkigen_cp.frontend.picking import pick
from nkigen_cp.frontend.shape import ravel
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, Term, identity_index


def concatenate(
    arrays: Sequence[object], /, axis: Any = 0, *, dtype: object = None
) -> TracedTensor:
    """Pieces joined along a dim.

    Raises:
        ShapeError: the pieces' other dims differ, or the axis is out of bounds.
    """
    builder = builder_of(arrays)
    pieces = [as_tensor(builder, a) for a in arrays]
    if axis is None:
        pieces, axis = [ravel(p) for p in pieces], 0
    dim = normalize_axis(axis, pieces[0].ndim)
    first = pieces[0].shape
    for piece in pieces:
        if piece.shape[:dim] + piece.shape[dim + 1 :] != first[:dim] + first[dim + 1 :]:
            raise located(
                ShapeError,
                f"concatenate along axis {dim}: shapes {first} and {piece.shape} differ in another "
                "dim",
            )
    patches: list[Patch] = []
    start = 0
    for piece in pieces:
        patch = whole(piece)
        line = replace(patch.lines[dim], to=patch.lines[dim].to + start)
        lines = (*patch.lines[:dim], line, *patch.lines[dim + 1 :])
        patches.append(replace(patch, lines=lines))
        start += piece.shape[dim]
    element = common_dtype(builder, pieces, dtype)
    return joined(builder, patches, (*first[:dim], start, *first[dim + 1 :]), element)


def stack(arrays: Sequence[object], axis: Any = 0, *, dtype: object = None) -> TracedTensor:
    """Pieces of one shape joined along a new dim.

    Raises:
        ShapeError: the shapes differ, or the axis is out of bounds.
    """
    builder = builder_of(arrays)
    pieces = [as_tensor(builder, a) for a in arrays]
    first = pieces[0].shape
    dim = normalize_axis(axis, len(first) + 1)
    for piece in pieces:
        if piece.shape != first:
            raise located(ShapeError, f"stack: shapes {first} and {piece.shape} differ")
    patches: list[Patch] = []
    for position, piece in enumerate(pieces):
        patch = whole(piece)
        lines = (*patch.lines[:dim], single(position), *patch.lines[dim:])
        patches.append(replace(patch, lines=lines))
    element = common_dtype(builder, pieces, dtype)
    return joined(builder, patches, (*first[:dim], len(pieces), *first[dim:]), element)


def split(ary: TracedTensor, indices_or_sections: Any, axis: Any = 0) -> list[TracedTensor]:
    """Slices along a dim: so many equal ones, or cut at the given positions.

    Raises:
        ShapeError: no equal division, fewer than one section, or the axis is out of bounds.
    """
    dim = normalize_axis(axis, ary.ndim)
    size = ary.shape[dim]
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)):
        cuts = [operator.index(i) for i in cast("Sequence[Any]", indices_or_sections)]
    else:
        sections = operator.index(indices_or_sections)
        if sections <= 0:
            raise located(ShapeError, f"split: number of sections {sections} must be larger than 0")
        if size % sections:
            raise located(
                ShapeError,
                f"split: dim {dim} of shape {ary.shape} does not divide into {sections} equal "
                "sections",
            )
        cuts = [size // sections * i for i in range(1, sections)]
    before = (slice(None),) * dim
    return [
        getitem(ary, (*before, slice(start, stop)))
        for start, stop in zip([0, *cuts], [*cuts, size], strict=True)
    ]


def repeat(a: TracedTensor, repeats: Any, axis: Any = None) -> TracedTensor:
    """Every element of a dim repeated in place, ``repeats`` times, or each so many times.

    Raises:
        ShapeError: a count is negative, there are not as many as positions, or the axis is out of
            bounds.
    """
    if axis is None:
        a, axis = ravel(a), 0
    dim = normalize_axis(axis, a.ndim)
    counts = np.asarray(repeats).ravel()
    if counts.size and counts.min() < 0:
        raise located(ShapeError, f"repeat: count {counts.min()} must not be negative")
    if counts.size != 1:
        if counts.size != a.shape[dim]:
            raise located(
                ShapeError, f"repeat: {counts.size} counts for dim {dim} of size {a.shape[dim]}"
            )
        return pick(a, dim, np.repeat(np.arange(a.shape[dim]), counts))
    count = int(counts[0])
    if count == 1:
        return a
    sizes = (*a.shape[: dim + 1], count, *a.shape[dim + 1 :])
    places = [d if d <= dim else d + 1 for d in range(a.ndim)]
    write = list(identity_index(places))
    write[dim] = DimIndex(terms=(Term(axis=dim, stride=count), Term(axis=dim + 1)))
    shape = (*a.shape[:dim], a.shape[dim] * count, *a.shape[dim + 1 :])
    return copy(a, sizes, identity_index(places), shape, tuple(write))


def take(a: TracedTensor, indices: Any, axis: Any = None, mode: str = "raise") -> TracedTensor:
    """Positions of a dim, or of all elements in a row.

    Raises:
        ShapeError: an index known while tracing is out of bounds.
    """
    if isinstance(indices, TracedTensor):
        return gathering.take(a, indices, axis, mode)
    if axis is None:
        a, axis = ravel(a), 0
    dim = normalize_axis(axis, a.ndim)
    if mode == "wrap":
        indices = np.mod(np.asarray(indices), a.shape[dim])
    if mode == "clip":
        indices = np.maximum(0, np.minimum(np.asarray(indices), a.shape[dim] - 1))
    return getitem(a, (*(slice(None),) * dim, indices))


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    np.concatenate: concatenate,
    np.stack: stack,
    np.split: split,
    np.repeat: repeat,
    np.take: take,
}

VIEWS: tuple[Callable[..., Any], ...] = (np.split,)
"""What gives views of its argument."""
