"""Functions that write into arrays, and what numpy makes of them."""

# The traced functions take Any, whose members strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

numpy: Any = np
Fn = Callable[..., Any]
Shapes = tuple[tuple[int, ...], ...]


def normal(*shape: int, seed: int = 0) -> Any:
    """Floats around 0, of both signs."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


def wanted(function: Fn, arrays: Sequence[Any]) -> tuple[Any, list[Any]]:
    """What the function returns on numpy arrays, and what it leaves in them."""
    own = [np.array(a) for a in arrays]
    return function(*own), own


def rows(x: Any, v: Any) -> Any:
    y = x * 2
    y[1:3] = v
    return y


def one_row(x: Any, v: Any) -> Any:
    y = x * 2
    y[-1] = v
    return y, y[0]


def steps(x: Any, v: Any) -> Any:
    y = x * 2
    y[::2] = v
    y[3::-2, ::-1] = v
    return y


def ellipsis(x: Any, v: Any) -> Any:
    y = x * 2
    y[..., 1] = v
    y[0, ..., 2] = 3
    return y


def everything(x: Any, v: Any) -> Any:
    y = x * 2
    y[...] = v
    return y


def pieces_of_zeros(x: Any, v: Any) -> Any:
    out = numpy.zeros((4, 6), numpy.float32)
    out[:2, :3] = x
    out[2:] = v
    return out


def pieces_of_empty(x: Any) -> Any:
    out = numpy.empty((4, 3), numpy.float32)
    for i in range(4):
        out[i] = x[i] * i
    return out


def running(x: Any) -> Any:
    out = numpy.zeros_like(x)
    out[0] = x[0]
    for i in range(1, x.shape[0]):
        out[i] = out[i - 1] * 0.5 + x[i]
    return out


def known_values(x: Any) -> Any:
    mask = numpy.ones((4, 3), numpy.float32)
    mask[1:, 0] = 0
    mask[0] += 2
    weights = numpy.triu(numpy.full((3, 3), 2.0, numpy.float32), 1)
    return (x * mask) @ weights + numpy.ones(3, numpy.float32).sum()


def known_then_traced(x: Any) -> Any:
    out = numpy.full((4, 5), 7.0, numpy.float32)
    early = out[:, 1:4].T
    out[0, 0] = 1
    early[1] = x[:, 0]
    return out, early


def view_taken_before(x: Any, v: Any) -> Any:
    y = x * 2
    view = y[2:4]
    turned = view.T
    view[...] = v
    turned[1] = 5
    return y, view, turned


def view_seen_after(x: Any, v: Any) -> Any:
    y = x * 2
    view = y[:, 1:]
    y[1] = v
    return view * 1, view.sum()


def reshaped_views(x: Any, v: Any) -> Any:
    y = x * 2
    flat = y.reshape(-1)
    flat[3:9] = 1
    halves = y.reshape(2, 2, 3)
    halves[:, 1, ::2] = v[:2]
    flat[::5] = 4
    return y, flat, halves


def reshape_that_copies(x: Any) -> Any:
    y = x * 2 + 0
    other = y.T.reshape(-1)
    other[2] = 1
    flat = y.T.ravel()
    flat[3] = 1
    same = y.ravel()
    same[4] = 8
    gone = y.flatten()
    gone[5] = 9
    return y, other, flat, gone


def part_reshaped(x: Any) -> Any:
    y = x * 2
    part = y[1:3].reshape(2, 3, 1)
    part[1, 1:] = 5
    y[2, 0] = 1
    return y, part


def flipped_views(x: Any, v: Any) -> Any:
    y = x * 2
    numpy.flip(y, 0)[0] = v
    y[::-1, ::-1][1:3, 0] = 2
    numpy.swapaxes(y, 0, 1)[2] = 7
    return y


def split_views(x: Any) -> Any:
    y = x * 2
    first, second = numpy.split(y, 2)
    first[0] = 1
    second += first
    numpy.expand_dims(y, 1)[3, 0, 1] = 6
    return y, first, second


def subscripts_in_place(x: Any, v: Any) -> Any:
    y = x * 2
    y[1:3] += v
    y[0] *= 3
    y[3, 1] -= 1
    y[[0, 2]] /= 2
    y[...] += 1
    return y


def names_in_place(x: Any, v: Any) -> Any:
    y = x * 2
    view = y[1]
    view += v
    total = v
    total = total + 0
    total += view
    return y, total


def copies(x: Any, v: Any) -> Any:
    y = x * 2
    copy, cast, array = y.copy(), y.astype(np.float32), numpy.copy(y)
    copy[0] = v
    cast[1] = v
    array[2] = v
    return y, copy, cast, array


def index_arrays(x: Any, v: Any) -> Any:
    y = x * 2
    y[[3, 1]] = v
    y[[0, 2, 0], 1] = 4
    y[:, np.array([True, False, True])] += 1
    return y


def repeated_index(x: Any, v: Any) -> Any:
    y = x * 2
    y[[1, 1, 2]] = x[:3] * v
    y[np.array([[0], [3]]), np.array([[0, 2]])] = x[:2, :2]
    return y


def overlapping(x: Any) -> Any:
    y = x * 2
    y[1:] = y[:-1]
    y[:, 1:] = y[:, :-1] + 1
    return y


def broadcast_values(x: Any, v: Any) -> Any:
    y = x * 2
    y[1:3] = v[None, :]
    y[:, :1] = y[:, 2:]
    y[0] = 3
    y[3] = numpy.arange(3)
    return y


def functions(x: Any, v: Any) -> Any:
    y = x * 2
    numpy.copyto(y[1:], v)
    numpy.copyto(y, x, where=x > 0)
    numpy.add(y[:2], 1, out=y[2:])
    z = numpy.empty((4,), numpy.float32)
    numpy.sum(y, axis=1, out=z)
    y[0].fill(2)
    return y, z


def mutated(x: Any, v: Any) -> Any:
    x[1:3] = v
    return x * 2


def mutated_only(x: Any, v: Any) -> None:
    x[1] = v
    x[2] += v


def mutated_and_returned(x: Any, v: Any) -> Any:
    before = x * 1
    x[:, 1] = 4
    return x, before, x.T


def mutated_through_a_view(x: Any, v: Any) -> Any:
    turned = x.T
    flat = x.reshape(-1)
    turned[0, 1] = 1
    flat[5:7] = v[:2]
    return turned + 0


def mutated_all(x: Any, v: Any) -> None:
    x[...] = x * v
    v[:] = 0


def swapped(x: Any, v: Any) -> None:
    top = x[:2].copy()
    x[:2] = x[2:]
    x[2:] = top + v


CASES: dict[str, tuple[Shapes, Fn]] = {
    **{
        f.__name__: (((4, 3), (3,)), f)
        for f in (
            rows,
            one_row,
            everything,
            view_taken_before,
            reshaped_views,
            flipped_views,
            subscripts_in_place,
            names_in_place,
            copies,
            index_arrays,
            repeated_index,
            broadcast_values,
            functions,
            mutated,
            mutated_only,
            mutated_and_returned,
            mutated_through_a_view,
            mutated_all,
            swapped,
        )
    },
    **{
        f.__name__: (((4, 3),), f)
        for f in (
            pieces_of_empty,
            running,
            known_values,
            known_then_traced,
            reshape_that_copies,
            part_reshaped,
            split_views,
            overlapping,
        )
    },
    "steps": (((4, 3), (2, 3)), steps),
    "ellipsis": (((2, 4, 3), (4,)), ellipsis),
    "pieces_of_zeros": (((2, 3), (6,)), pieces_of_zeros),
    "view_seen_after": (((4, 3), (1,)), view_seen_after),
}


VIEWS: tuple[Callable[[Any], Any], ...] = (
    lambda a: a[1:],
    lambda a: a[::-1],
    lambda a: a[::2],
    lambda a: a[..., :2],
    lambda a: a[0],
    lambda a: a[-1:],
    lambda a: a.T,
    lambda a: a.reshape(-1),
    lambda a: a.reshape(-1, 2) if a.size % 2 == 0 else a.reshape(-1, 1),
    lambda a: a[None],
    lambda a: a.ravel(),
    lambda a: a.copy(),
    lambda a: a[[0, -1]],
    lambda a: a * 2,
)
WRITES: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a.__setitem__(..., 5),
    lambda a, b: a.__setitem__(slice(1, None), a[:-1]),
    lambda a, b: a.__setitem__(0, b.sum()),
    lambda a, b: a.__setitem__([0, -1, 0], 2),
    lambda a, b: a.__setitem__((..., slice(None, None, -2)), 3),
    lambda a, b: np.add(a, 1, out=a),
    lambda a, b: np.copyto(a, b.ravel()[0]),
    lambda a, b: a[:2].__iadd__(b.ravel()[-1]),
)

Steps = list[tuple[int, int, int]]
_CHOICE = st.integers(0, 99)
STEPS = st.lists(st.tuples(_CHOICE, _CHOICE, _CHOICE), max_size=6)


def mixed(steps: Steps) -> Fn:
    """A function that makes views of arrays, and writes into them, as the numbers say."""

    def function(x: Any, z: Any) -> Any:
        arrays = [x, x * 2, numpy.zeros((3, 4), np.float32), z]
        for first, second, what in steps:
            source, other = arrays[first % len(arrays)], arrays[second % len(arrays)]
            if what < 50 and source.ndim and source.size > 1:
                arrays.append(VIEWS[what % len(VIEWS)](source))
            elif what >= 50 and source.ndim and len(source) > 1:
                WRITES[what % len(WRITES)](source, other)
        return [a * 1 for a in arrays]

    return function
