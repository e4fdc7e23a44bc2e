"""Functions of numpy that do not ask us: what they look at is no traced argument, or in a list.

Those are ``zeros``, ``ones``, ``empty`` and ``full``, whose arrays a traced function may write
into, ``array`` and its kind, and ``take`` from a captured array. While a function is traced,
numpy's own names lead here when the function calls them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from nkigen_cp.frontend.builder import Builder
from nkigen_cp.frontend.callsite import is_own_file
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.shape import as_shape
from nkigen_cp.frontend.tensor import TracedTensor

_FILLS: dict[str, int] = {"zeros": 0, "empty": 0, "ones": 1}


class _Tracing(threading.local):
    builder: Builder | None = None


_TRACING = _Tracing()
_LOCK = threading.Lock()
_COUNT = [0]
_COPIES = ("array", "asarray", "asanyarray", "ascontiguousarray")
_NUMPYS: dict[str, Any] = {name: getattr(np, name) for name in (*_FILLS, "full", *_COPIES, "take")}


@contextmanager
def creating(builder: Builder) -> Generator[None]:
    """What numpy creates in here for the traced function belongs to its trace."""
    before = _TRACING.builder
    _TRACING.builder = builder
    _install(1)
    try:
        yield
    finally:
        _TRACING.builder = before
        _install(-1)


def _install(change: int) -> None:
    """Put our functions in the place of numpy's while any thread traces."""
    with _LOCK:
        _COUNT[0] += change
        for name, numpys in _NUMPYS.items():
            setattr(np, name, _OURS[name] if _COUNT[0] else numpys)


def constant(values: Any) -> Any:
    """An array of the function that is being traced, which traced tensors may index."""
    builder = _TRACING.builder
    return values if builder is None else builder.known(values)


def _ours(name: str) -> Callable[..., Any]:
    numpys = _NUMPYS[name]

    def create(*args: Any, **kwargs: Any) -> Any:
        builder = _TRACING.builder
        if builder is None or is_own_file(sys._getframe(1).f_code.co_filename):  # pyright: ignore[reportPrivateUsage]
            return numpys(*args, **kwargs)
        if name == "full":
            return _full(builder, *args, **kwargs)
        values = numpys(*args, **kwargs)
        return _made(builder, values, _FILLS[name])

    create.__name__ = name
    return create


def _of_arrays(name: str) -> Callable[..., Any]:
    """``numpy.array`` and its kind, also of traced arrays and of lists of them."""
    numpys = _NUMPYS[name]

    def create(value: Any, dtype: Any = None, **options: Any) -> Any:
        caller = sys._getframe(1).f_code.co_filename  # pyright: ignore[reportPrivateUsage]
        if not _holds_traced(value) or is_own_file(caller):
            return numpys(value, dtype, **options)
        found = _stacked(value)
        copies = name == "array" and options.get("copy", True)
        if dtype is not None:
            return found.astype(dtype, copy=bool(copies))
        return found.copy() if copies else found

    create.__name__ = name
    return create


def _take(a: Any, indices: Any, *args: Any, **options: Any) -> Any:
    if isinstance(indices, TracedTensor) and not isinstance(a, TracedTensor):
        a = constant(np.asarray(a))
    return _NUMPYS["take"](a, indices, *args, **options)


def _holds_traced(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_traced(v) for v in cast("list[Any]", value))
    return isinstance(value, TracedTensor)


def _stacked(value: Any) -> Any:
    """Nested lists as one array."""
    if not isinstance(value, (list, tuple)):
        return value
    return cast("Any", np).stack([_stacked(v) for v in cast("list[Any]", value)])


def _made(builder: Builder, values: Any, fill: Any) -> Any:
    values[...] = fill
    return builder.known(values, filled=np.asarray(fill, values.dtype))


def _full(builder: Builder, shape: Any, fill_value: Any, dtype: Any = None, **others: Any) -> Any:
    """Also of a traced number, which is written everywhere."""
    if isinstance(fill_value, TracedTensor) and not fill_value.is_known:
        kind = fill_value.dtype if dtype is None else dtype
        array = _made(builder, _NUMPYS["zeros"](shape, kind), 0)
        array[...] = fill_value
        return array
    values = _NUMPYS["full"](shape, fill_value, dtype, **others)
    return builder.known(values, filled=values.ravel()[0] if np.ndim(fill_value) == 0 else None)


_OURS: dict[str, Callable[..., Any]] = {
    **{name: _ours(name) for name in (*_FILLS, "full")},
    **{name: _of_arrays(name) for name in _COPIES},
    "take": _take,
}


def _like(fill: int | None) -> Handler:
    def like(
        a: TracedTensor,
        *given: Any,
        dtype: Any = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
    ) -> Any:
        """``numpy.zeros_like`` and its kind: only the shape and the dtype of ``a`` matter."""
        del order, subok
        values, options = (given[:1], given[1:]) if fill is None else ((fill,), given)
        kind = next(iter(options), dtype)
        sizes = a.shape if shape is None else as_shape(shape)
        return _full(a.builder, sizes, values[0], a.dtype if kind is None else kind)

    return like


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    cast("Callable[..., Any]", np.zeros_like): _like(0),
    cast("Callable[..., Any]", np.empty_like): _like(0),
    cast("Callable[..., Any]", np.ones_like): _like(1),
    cast("Callable[..., Any]", np.full_like): _like(None),
}
