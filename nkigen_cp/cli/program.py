"""What the command line says of a program: its file and function, and its array arguments."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.errors import ArgumentError, UnsupportedError
from nkigen_cp.ir.dtypes import DType, dtype

_SHAPE = re.compile(r"scalar|\d+(x\d+)*")
_ARGUMENT = "NAME:SHAPE:DTYPE, such as x:128x1024:bf16 or eps:scalar:f32"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayArgument:
    """One ``--arg``: name, shape (() for ``scalar``) and dtype of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: DType

    def draw(self, rng: np.random.Generator) -> NDArray[Any]:
        """Random values: floats normal, a matrix scaled by its rows to keep products near 1."""
        if not self.dtype.is_float:
            high = 2 if self.dtype.kind == "bool" else 8
            return rng.integers(0, high, self.shape).astype(self.dtype.numpy)
        scale = self.shape[0] ** -0.5 if len(self.shape) == 2 else 1.0
        return np.asarray(scale * rng.standard_normal(self.shape)).astype(self.dtype.numpy)


def parse_argument(text: str) -> ArrayArgument:
    """``"x:128x1024:bf16"`` as an ArrayArgument.

    Raises:
        ArgumentError: the text has another form, or the dtype is unknown.
    """
    parts = text.split(":")
    if len(parts) != 3 or not parts[0].isidentifier() or not _SHAPE.fullmatch(parts[1]):
        raise ArgumentError(f"--arg {text!r}: allowed is {_ARGUMENT}")
    name, shape, element = parts
    sizes = () if shape == "scalar" else tuple(int(size) for size in shape.split("x"))
    try:
        return ArrayArgument(name=name, shape=sizes, dtype=dtype(element))
    except UnsupportedError as error:
        raise ArgumentError(f"--arg {text!r}: {error}") from error


def load_function(place: str) -> Callable[..., Any]:
    """The function that ``FILE.py:FUNCTION`` names; the file is imported.

    Raises:
        ArgumentError: no such file or function, or the file fails to import.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not file or not name.isidentifier():
        raise ArgumentError(f"{place!r}: allowed is FILE.py:FUNCTION, such as model.py:mlp")
    if not path.is_file():
        raise ArgumentError(f"{file!r}: there is no such file; allowed is FILE.py:FUNCTION")
    module = _import(path)
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if inspect.isfunction(v) and n[0] != "_"]
        raise ArgumentError(f"{file} has no function {name!r}; it has {', '.join(known) or 'none'}")
    return function


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{path}: is no Python file; give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    # The user's module may import its neighbours and define dataclasses, as when run as a script.
    sys.path.insert(0, str(path.parent.resolve()))
    shadowed = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ArgumentError(
            f"{path}: fails to import ({type(error).__name__}: {error}); --debug shows where"
        ) from error
    finally:
        sys.path.pop(0)
        if shadowed is not None:
            sys.modules[path.stem] = shadowed
    return module


def bind(
    function: Callable[..., Any], values: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``(args, kwargs)`` that call the function with the named values, in its own order.

    Raises:
        ArgumentError: a name the function lacks, or one it needs and did not get.
    """
    signature = inspect.signature(function)
    try:
        bound = signature.bind(**values)
    except TypeError as error:
        name = getattr(function, "__name__", str(function))
        raise ArgumentError(
            f"{name}{signature}: {error}; give every array as --arg {_ARGUMENT}"
        ) from error
    return bound.args, bound.kwargs
