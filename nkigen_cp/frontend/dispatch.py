"""Finds the handler of a numpy function, and says clearly when there is none."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.frontend.callsite import located

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Handlers by numpy function, by ufunc, and by ufunc method (``(np.add, "reduce")``)."""

    functions: Mapping[Any, Handler]
    ufuncs: Mapping[Any, Handler]
    ufunc_methods: Mapping[tuple[Any, str], Handler]
    views: Sequence[Any]
    """Functions of an array that give views of it, or write into it."""

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function's handler.

        Raises:
            UnsupportedError: the function has none, or not with these arguments.
        """
        handler = self.functions.get(function)
        if handler is None:
            raise self._unknown(_name(function))
        return _run(handler, _name(function), args, kwargs)

    def call_ufunc(
        self, ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a ufunc's handler; ``method`` is numpy's: ``__call__``, ``reduce``, ..."""
        if method == "__call__":
            handler, name = self.ufuncs.get(ufunc), _name(ufunc)
        else:
            handler, name = self.ufunc_methods.get((ufunc, method)), f"{_name(ufunc)}.{method}"
        if handler is None and method == "outer" and ufunc in self.ufuncs:
            handler = _outer(ufunc)
        if handler is None:
            raise self._unknown(name)
        return _run(handler, name, inputs, kwargs)

    def _unknown(self, name: str) -> Exception:
        supported = [_name(f) for f in (*self.functions, *self.ufuncs)]
        near = difflib.get_close_matches(name, supported, n=1, cutoff=0.0)[0]
        return located(
            UnsupportedError,
            f"numpy.{name} is not supported on traced tensors; the nearest supported name is "
            f"{near}",
        )


def _outer(ufunc: Any) -> Handler:
    """The ufunc of every element of one array with every element of another."""

    def handle(a: Any, b: Any, /, **options: Any) -> Any:
        xp: Any = np
        spread = xp.reshape(a, (*xp.shape(a), *(1,) * np.ndim(b)))
        return ufunc(spread, b, **options)

    return handle


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))


@lru_cache(maxsize=256)
def _signature(handler: Handler) -> inspect.Signature:
    return inspect.signature(handler)


def _run(handler: Handler, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        _signature(handler).bind(*args, **kwargs)
    except TypeError as error:
        allowed = ", ".join(_signature(handler).parameters)
        raise located(
            UnsupportedError,
            f"numpy.{name} on traced tensors takes the arguments ({allowed}): {error}",
        ) from None
    return handler(*args, **kwargs)
