"""``fori_loop``: a body that runs several times, its result carried from one turn to the next.

The body is traced once per turn, so the solver sees all turns and may keep what is carried on the
chip. The kernel has every turn's instructions one after the other.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from nkigen_cp.errors import ArgumentError, ShapeError, UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.structure import flatten, labels
from nkigen_cp.frontend.tensor import TracedTensor

TURNS_MAX = 512
"""Turns that are traced: kernels grow with each of them."""

T = TypeVar("T")


def fori_loop(lo: Any, hi: Any, body: Callable[[int, T], T], carry: T) -> T:
    """``for i in range(lo, hi): carry = body(i, carry)``, and what is carried at the end.

    Every turn is traced by itself, ``i`` being a number: the kernel is unrolled, and has at most
    ``TURNS_MAX`` turns. What is carried keeps its structure, its shapes and its dtypes. Outside of
    a trace it is the loop over arrays.

    Raises:
        ArgumentError: a bound is not known while tracing, or what is carried changes its structure
            or a dtype.
        ShapeError: what is carried changes a shape.
        UnsupportedError: there are more turns than are traced.
    """
    turns = range(_bound("lo", lo), _bound("hi", hi))
    traced = any(isinstance(leaf, TracedTensor) for leaf in flatten(carry, _is_value)[0])
    if traced and len(turns) > TURNS_MAX:
        raise located(
            UnsupportedError,
            f"fori_loop: {len(turns)} turns; at most {TURNS_MAX} are traced, one by one. Let a "
            "turn do more, or write the body for all turns at once over an axis of their number",
        )
    for i in turns:
        after = body(i, carry)
        _check_same(carry, after, i)
        carry = after
    return carry


def _bound(name: str, value: Any) -> int:
    known = not isinstance(value, TracedTensor) or value.is_known
    try:
        return operator.index(value) if known else _not_known(name, value)
    except TypeError:
        return _not_known(name, value)


def _not_known(name: str, value: Any) -> int:
    raise located(
        ArgumentError,
        f"fori_loop: the bound {name} is a {type(value).__name__}; it must be an integer that is "
        "known while tracing. Run to the largest bound and choose by where(i < bound, new, old)",
    )


def _is_value(item: object) -> bool:
    return isinstance(item, (TracedTensor, np.ndarray, np.generic, int, float))


def _check_same(before: Any, after: Any, turn: int) -> None:
    """What is carried has one structure; a number may become a traced tensor of its shape."""
    old, tree = flatten(before, _is_value, "carry")
    new, other = flatten(after, _is_value, "carry")
    if tree != other:
        raise located(
            ArgumentError,
            f"fori_loop: turn {turn} returns another structure than it is given: "
            f"{[*labels(other)]} instead of {[*labels(tree)]}",
        )
    for label, was, now in zip(labels(tree), old, new, strict=True):
        _check_leaf(label, was, now, turn)


def _check_leaf(label: str, was: Any, now: Any, turn: int) -> None:
    shape = cast("Any", np).shape
    shapes = [tuple(shape(v)) for v in (was, now)]
    if shapes[0] != shapes[1]:
        raise located(
            ShapeError,
            f"fori_loop: turn {turn} returns {label!r} of shape {shapes[1]}, it is given one of "
            f"shape {shapes[0]}",
        )
    if isinstance(was, TracedTensor) and isinstance(now, TracedTensor) and was.dtype != now.dtype:
        raise located(
            ArgumentError,
            f"fori_loop: turn {turn} returns {label!r} of dtype {now.dtype}, it is given one of "
            f"{was.dtype}; cast it with astype",
        )
