# The tables hold lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Functions that arrange elements written in numpy, out of those of the other tables."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.named import named, xp
from nkigen_cp.frontend.operands import as_tensor, builder_of, normalize_axes, normalize_axis
from nkigen_cp.frontend.tensor import TracedTensor


def kron(a: Any, b: Any) -> Any:
    """Every element of ``a`` times all of ``b``, in the place of the element."""
    rank = max(xp.ndim(a), xp.ndim(b))
    sizes = [(1,) * (rank - xp.ndim(x)) + xp.shape(x) for x in (a, b)]
    left = xp.reshape(a, [s for n in sizes[0] for s in (n, 1)])
    right = xp.reshape(b, [s for n in sizes[1] for s in (1, n)])
    return xp.reshape(left * right, [n * m for n, m in zip(*sizes, strict=True)])


def cross(a: Any, b: Any, axis: int = -1) -> Any:
    """The vector product of vectors of three elements along an axis."""
    x, y = (xp.moveaxis(as_tensor(builder_of((a, b)), v), axis, -1) for v in (a, b))
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise located(ShapeError, f"cross: vectors have 3 elements, not {x.shape} and {y.shape}")
    parts = [x[..., k - 2] * y[..., k - 1] - x[..., k - 1] * y[..., k - 2] for k in range(3)]
    return xp.stack(parts, axis=axis)


def matrix_power(a: Any, n: int) -> Any:
    """A square matrix multiplied with itself, ``n`` factors."""
    if operator.index(n) < 0:
        raise located(ShapeError, f"matrix_power: exponent {n}; 0 or above is allowed")
    if n == 0:
        return xp.zeros_like(a) + np.eye(a.shape[-1], dtype=a.dtype)
    return functools.reduce(xp.matmul, [a] * n)


def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of the elements along axes as one vector."""
    dims = normalize_axes(axis, x.ndim)
    others = [d for d in range(x.ndim) if d not in dims]
    flat = xp.transpose(x, [*others, *dims]).reshape([*(x.shape[d] for d in others), -1])
    found = xp.linalg.norm(flat, ord, axis=-1)
    shape = [1 if d in dims else n for d, n in enumerate(x.shape)]
    return xp.reshape(found, shape) if keepdims else found


def matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices."""
    return xp.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix that has a vector on its diagonal."""
    if v.ndim == 2:
        return xp.diagonal(v, k)
    if v.ndim != 1:
        raise located(ShapeError, f"diag: an input of 1 or 2 dims is needed, not {v.ndim}")
    size = v.shape[0] + abs(k)
    made = xp.zeros_like(v, shape=(size * size,))
    start = k if k >= 0 else -k * size
    made[start : start + v.shape[0] * (size + 1) : size + 1] = v
    return made.reshape(size, size)


def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix that has all elements on its diagonal."""
    return diag(xp.ravel(v), k)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """One dim moved before another."""
    dim = normalize_axis(axis, a.ndim)
    place = start + a.ndim if start < 0 else start
    return xp.moveaxis(a, dim, place - (dim < place))


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """The tensor turned by 90 degrees, ``k`` times."""
    first, second = normalize_axes(tuple(axes), m.ndim)
    turn = operator.index(k) % 4
    if turn == 0:
        return m
    if turn == 2:
        return xp.flip(m, (first, second))
    if turn == 1:
        return xp.swapaxes(xp.flip(m, second), first, second)
    return xp.flip(xp.swapaxes(m, first, second), second)


def _at_least(rank: int) -> Handler:
    """Arrays with at least so many dims; a third one comes last."""

    def one(x: TracedTensor) -> Any:
        missing = rank - x.ndim
        if missing <= 0:
            return x
        behind = 1 if rank == 3 and x.ndim in (1, 2) else 0
        return xp.reshape(x, (1,) * (missing - behind) + x.shape + (1,) * behind)

    def handle(*arys: Any) -> Any:
        builder = builder_of(arys)
        found = [one(as_tensor(builder, a)) for a in arys]
        return tuple(found) if len(found) > 1 else found[0]

    return handle


def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """All arrays in their common shape."""
    shape = np.broadcast_shapes(*(xp.shape(a) for a in args))
    builder = builder_of(args)
    return tuple(xp.broadcast_to(as_tensor(builder, a), shape) for a in args)


def meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False, copy: bool = True) -> Any:
    """Every vector along a dim of its own of all results."""
    del copy
    count = len(xi)
    turned = indexing == "xy" and count > 1
    order = [1, 0, *range(2, count)] if turned else [*range(count)]
    found = tuple(
        xp.reshape(x, [-1 if d == dim else 1 for d in range(count)])
        for x, dim in zip(xi, order, strict=True)
    )
    return found if sparse else broadcast_arrays(*found)


def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Two arrays joined along a dim."""
    return xp.concatenate([arr, values], axis=axis)


def dstack(tup: Sequence[Any]) -> Any:
    """Joined along the third dim."""
    return xp.concatenate([xp.atleast_3d(t) for t in tup], axis=2)


def column_stack(tup: Sequence[Any]) -> Any:
    """Vectors as columns beside each other, and beside matrices."""
    return xp.concatenate([t[:, None] if xp.ndim(t) == 1 else t for t in tup], axis=1)


def block(arrays: Any) -> Any:
    """Nested lists of arrays joined: the innermost lists along the last dim."""
    depth, inner = 0, arrays
    while isinstance(inner, list):
        depth, inner = depth + 1, cast("Any", inner)[0]

    def join(item: Any, level: int) -> Any:
        if not isinstance(item, list):
            return item
        parts = [join(i, level + 1) for i in cast("list[Any]", item)]
        return xp.concatenate(parts, axis=level - depth)

    return join(arrays, 0)


def _split_along(dim: int) -> Handler:
    """``numpy.split`` along a fixed dim."""

    def handle(ary: Any, indices_or_sections: Any) -> Any:
        along = dim if ary.ndim > 1 else 0
        return xp.split(ary, indices_or_sections, axis=along)

    return handle


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along a dim, without it."""
    turned = xp.moveaxis(x, axis, 0)
    return tuple(turned[k] for k in range(turned.shape[0]))


def ediff1d(ary: Any) -> Any:
    """Differences of all neighbours in row-major order."""
    return xp.diff(xp.ravel(ary))


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The area under straight lines between the elements of an axis."""
    rows = xp.moveaxis(y, axis, -1)
    width = dx if x is None else xp.diff(x)
    return xp.sum(width * (rows[..., 1:] + rows[..., :-1]) * 0.5, axis=-1)


def fill_diagonal(a: Any, val: Any) -> None:
    """A value written along the diagonal of a matrix."""
    rows, columns = a.shape
    count = min(rows, columns)
    flat = xp.ravel(a).copy()
    flat[: count * columns : columns + 1] = val
    a[...] = xp.reshape(flat, a.shape)


FUNCTIONS: dict[Callable[..., Any], Handler] = named(
    {
        "kron": kron,
        "cross": cross,
        "linalg.cross": cross,
        "linalg.outer": lambda x1, x2, /: xp.outer(x1, x2),
        "linalg.matmul": lambda x1, x2, /: xp.matmul(x1, x2),
        "linalg.tensordot": lambda x1, x2, /, *, axes=2: xp.tensordot(x1, x2, axes),
        "linalg.vecdot": lambda x1, x2, /, *, axis=-1: xp.sum(x1 * x2, axis=axis),
        "linalg.trace": lambda x, /, *, offset=0: xp.trace(x, offset, -2, -1),
        "linalg.diagonal": lambda x, /, *, offset=0: xp.diagonal(x, offset, -2, -1),
        "linalg.matrix_power": matrix_power,
        "linalg.multi_dot": lambda arrays: functools.reduce(xp.dot, arrays),
        "linalg.vector_norm": vector_norm,
        "linalg.matrix_norm": matrix_norm,
        "linalg.matrix_transpose": lambda x, /: xp.swapaxes(x, -1, -2),
        "matrix_transpose": lambda x, /: xp.swapaxes(x, -1, -2),
        "diag": diag,
        "diagflat": diagflat,
        "rollaxis": rollaxis,
        "rot90": rot90,
        "atleast_1d": _at_least(1),
        "atleast_2d": _at_least(2),
        "atleast_3d": _at_least(3),
        "broadcast_arrays": broadcast_arrays,
        "meshgrid": meshgrid,
        "append": append,
        "dstack": dstack,
        "column_stack": column_stack,
        "block": block,
        "hsplit": _split_along(1),
        "vsplit": _split_along(0),
        "dsplit": _split_along(2),
        "unstack": unstack,
        "ediff1d": ediff1d,
        "trapezoid": trapezoid,
    }
)

WRITES: dict[Callable[..., Any], Handler] = named({"fill_diagonal": fill_diagonal})
"""Functions that write into their argument."""

VIEWS: tuple[Callable[..., Any], ...] = tuple(
    named(dict.fromkeys(("matrix_transpose", "rollaxis", "hsplit", "vsplit", "unstack"), rot90))
)
"""What gives views of its argument."""
