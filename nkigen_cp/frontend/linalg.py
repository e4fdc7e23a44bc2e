"""Matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.operands import (
    as_tensor,
    broadcast_index,
    broadcast_shape,
    builder_of,
    cast_to,
    common_dtype,
)
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import identity_index


def _check_inner(what: str, a: TracedTensor, b: TracedTensor) -> None:
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise located(
            ShapeError,
            f"{what}: shapes {a.shape} and {b.shape} disagree: the last dim of the first "
            f"({a.shape[-1]}) must equal the {'second to last' if b.ndim > 1 else 'only'} dim of "
            f"the second ({inner})",
        )


def _contract(
    a: TracedTensor,
    b: TracedTensor,
    axes_a: Sequence[int],
    axes_b: Sequence[int],
    sizes: Sequence[int],
) -> TracedTensor:
    """Record a contraction; the last iteration axis is the reduced one, -1 a broadcast dim."""
    shape = tuple(sizes[:-1])
    step = Step(
        kind="contract",
        sizes=sizes,
        inputs=[
            Read(tensor=a, index=identity_index(axes_a)),
            Read(tensor=b, index=identity_index(axes_b)),
        ],
        index=identity_index(range(len(shape))),
        reduced=(len(shape),),
    )
    return a.builder.emit(step, shape, common_dtype(a.builder, (a, b), None))


def _batch_axes(shape: Sequence[int], batch: Sequence[int]) -> list[int]:
    index = broadcast_index(shape, batch)
    return [place.terms[0].axis if place.terms else -1 for place in index]


def matmul(x1: object, x2: object, /, *, dtype: object = None) -> TracedTensor:
    """``x1 @ x2``: 1-D operands are promoted, leading dims broadcast.

    Raises:
        ShapeError: the shapes disagree, or an operand is a scalar.
    """
    builder = builder_of((x1, x2))
    a, b = as_tensor(builder, x1), as_tensor(builder, x2)
    if not a.ndim or not b.ndim:
        raise located(
            ShapeError, f"matmul: shapes {a.shape} and {b.shape}: scalars need numpy.multiply"
        )
    _check_inner("matmul", a, b)
    if dtype is not None:
        element = builder.narrowed(dtype)
        a, b = cast_to(a, element), cast_to(b, element)
    batch = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    rows, columns = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    sizes = (*batch, *rows, *columns, a.shape[-1])
    m, n, k = len(batch), len(batch) + len(rows), len(sizes) - 1
    axes_a = [*_batch_axes(a.shape[:-2], batch), *([m] if rows else []), k]
    axes_b = [*_batch_axes(b.shape[:-2], batch), k, *([n] if columns else [])]
    return _contract(a, b, axes_a, axes_b, sizes)


def dot(a: object, b: object) -> TracedTensor:
    """``numpy.dot``: every row of ``a`` with every column of ``b``, no broadcasting.

    Raises:
        ShapeError: the shapes disagree.
    """
    builder = builder_of((a, b))
    x, y = as_tensor(builder, a), as_tensor(builder, b)
    if not x.ndim or not y.ndim:
        return elementwise("multiply", a, b)
    _check_inner("dot", x, y)
    rows, columns = x.shape[:-1], (*y.shape[:-2], *(y.shape[-1:] if y.ndim > 1 else ()))
    sizes = (*rows, *columns, x.shape[-1])
    k = len(sizes) - 1
    free = list(range(len(rows), k))
    axes_y = [*free[:-1], k, free[-1]] if y.ndim > 1 else [k]
    return _contract(x, y, [*range(len(rows)), k], axes_y, sizes)


UFUNCS: dict[np.ufunc, Handler] = {np.matmul: matmul}
FUNCTIONS: dict[Callable[..., Any], Handler] = {np.dot: dot}
