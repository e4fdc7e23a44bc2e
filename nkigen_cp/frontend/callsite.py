"""Where in the user's program we are: frames, sources and the names statements assign to."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from types import FrameType
from typing import Any

import numpy as np

from nkigen_cp.errors import NkigenError
from nkigen_cp.ir.tensor.graph import Source

_OWN_FOLDERS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep for path in (__file__, np.__file__)
)
# Before Python 3.12 a comprehension is a frame of its own; it is part of the code around it.
_INLINE_FRAMES = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")
# The value of such a statement is a container or a function, so its target names no tensor.
_NO_TENSOR = (
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.ListComp,
    ast.GeneratorExp,
    ast.DictComp,
    ast.Lambda,
)


def call_traced(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the user's function; this frame is the border above which no frame is the user's."""
    return fn(*args, **kwargs)


def is_own_file(path: str) -> bool:
    """Whether a file is part of this package or of numpy."""
    return os.path.abspath(path).startswith(_OWN_FOLDERS)


def user_frames() -> tuple[FrameType, ...]:
    """The frames of the user's program, outermost (the traced function) first."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code is not call_traced.__code__:
        code = frame.f_code
        inline = code.co_name in _INLINE_FRAMES
        if not inline and not is_own_file(code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    return tuple(reversed(frames))


def source_of(frames: tuple[FrameType, ...]) -> Source | None:
    """The innermost frame's file, line and function; None without frames."""
    if not frames:
        return None
    code = frames[-1].f_code
    return Source(file=code.co_filename, line=frames[-1].f_lineno, function=code.co_name)


def located(error: type[NkigenError], message: str) -> NkigenError:
    """An error whose message ends with the user's file, line and function."""
    source = source_of(user_frames())
    return error(f"{message} (at {source})" if source else message)


@lru_cache(maxsize=16)
def _statements(text: str) -> tuple[ast.stmt, ...]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a notebook cell with magics, a file changed on disk
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.stmt))


def assigned_name(file: str, line: int) -> str | None:
    """The single variable the innermost statement at a line assigns a tensor to, if it does."""
    around = [
        s
        for s in _statements("".join(linecache.getlines(file)))
        if s.lineno <= line <= (s.end_lineno or s.lineno)
    ]
    if not around:
        return None
    inner = max(around, key=lambda s: (s.lineno, -(s.end_lineno or s.lineno)))
    if isinstance(inner, ast.Assign):
        targets = inner.targets
    elif isinstance(inner, (ast.AnnAssign, ast.AugAssign)):
        targets = [inner.target]
    else:
        return None
    if len(targets) != 1 or isinstance(inner.value, _NO_TENSOR):
        return None
    return targets[0].id if isinstance(targets[0], ast.Name) else None


def prefix_of(frames: tuple[FrameType, ...]) -> str:
    """``"q_rms."`` inside the call ``q_rms = rms_norm(q)``, ``"rms_norm."`` if it assigns nothing.

    One part per helper function between the traced function and the innermost frame.
    """
    parts: list[str] = []
    for outer, inner in pairwise(frames):
        name = assigned_name(outer.f_code.co_filename, outer.f_lineno)
        parts.append(name or inner.f_code.co_name.strip("<>"))
    return "".join(f"{part}." for part in parts)
