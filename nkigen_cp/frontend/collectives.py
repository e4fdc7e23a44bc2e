"""``cp.collectives``: exchanging tensors with other ranks, each of which runs the same function.

``replica_groups`` lists the ranks of every group, as in ``[[0, 1], [2, 3]]``: each rank is in one,
all are of one size. NKI has collectives along the first dim of HBM tensors only; other axes are
moved there and back. Ranks reduce in float32, so integers are gathered first and then reduced on
the chip, where they are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nkigen_cp.errors import ArgumentError, ShapeError, UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.operands import normalize_axis
from nkigen_cp.frontend.rowwise import call
from nkigen_cp.frontend.step import Read, Step
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.collectives import COLLECTIVES, Groups, groups_problem
from nkigen_cp.ir.tensor.collective_rows import collective_attrs
from nkigen_cp.ir.tensor.graph import identity_index

_ALONE = ((0,),)
"""The groups of a program of one rank, which exchanges nothing: numpy's, too."""

_OPERATORS: Mapping[Any, str] = {
    "add": "add",
    "max": "maximum",
    "min": "minimum",
    np.add: "add",
    np.maximum: "maximum",
    np.minimum: "minimum",
}
_FOLDS: Mapping[str, Any] = {"add": np.sum, "maximum": np.max, "minimum": np.min}
_BOOL_FOLDS: Mapping[str, Any] = {"add": np.any, "maximum": np.any, "minimum": np.all}


def all_reduce(x: Any, replica_groups: Sequence[Sequence[int]], op: Any = "add") -> Any:
    """``x`` of all ranks of a group, added up element by element, or their "max" or "min"."""
    groups, operator = _groups("all_reduce", x, replica_groups), _operator("all_reduce", op)
    if not isinstance(x, TracedTensor):
        return np.array(x)
    if x.element.is_float:
        return _first_dim("all_reduce", _with_dims(x), groups, operator).reshape(x.shape)
    gathered = _first_dim("all_gather", x.reshape((1, *x.shape)), groups)
    return _folded(gathered, operator)


def all_gather(x: Any, replica_groups: Sequence[Sequence[int]], axis: int = 0) -> Any:
    """``x`` of all ranks of a group one behind the other along ``axis``, in the group's order."""
    groups = _groups("all_gather", x, replica_groups)
    return _along("all_gather", x, axis, groups)


def reduce_scatter(
    x: Any, replica_groups: Sequence[Sequence[int]], axis: int = 0, op: Any = "add"
) -> Any:
    """Of an ``all_reduce`` this rank's piece along ``axis``: the first one for the first rank."""
    groups, operator = _groups("reduce_scatter", x, replica_groups), _operator("reduce_scatter", op)
    if not isinstance(x, TracedTensor) or x.element.is_float:
        return _along("reduce_scatter", x, axis, groups, operator)
    dim = _checked("reduce_scatter", x, axis, groups)
    pieces = _first_dim("all_to_all", call(np.moveaxis, x, dim, 0), groups)
    count, shape = len(groups[0]), pieces.shape
    pieces = pieces.reshape((count, shape[0] // count, *shape[1:]))
    return call(np.moveaxis, _folded(pieces, operator), 0, dim)


def all_to_all(x: Any, replica_groups: Sequence[Sequence[int]], axis: int = 0) -> Any:
    """This rank's piece along ``axis`` of ``x`` of all ranks of a group, one behind the other."""
    groups = _groups("all_to_all", x, replica_groups)
    return _along("all_to_all", x, axis, groups)


def _groups(name: str, x: Any, given: Sequence[Sequence[int]]) -> Groups:
    groups = tuple(tuple(int(rank) for rank in group) for group in given)
    problem = groups_problem(groups)
    if problem:
        raise located(ArgumentError, f"{name}: replica_groups {[*map(list, groups)]} {problem}")
    if not isinstance(x, TracedTensor) and groups != _ALONE:
        raise located(
            UnsupportedError,
            f"{name} takes a traced tensor, got {type(x).__name__}: other ranks have no part in "
            "what numpy computes; pass it to the function as an argument",
        )
    return groups


def _operator(name: str, op: Any) -> str:
    if op not in _OPERATORS:
        raise located(ArgumentError, f"{name}: op={op!r} is not one of 'add', 'max', 'min'")
    return _OPERATORS[op]


def _checked(name: str, x: TracedTensor, axis: int, groups: Groups) -> int:
    """The dim that the axis is; its size fits the groups."""
    if not x.ndim:
        raise located(ShapeError, f"{name} works along an axis; got a tensor of rank 0")
    dim = normalize_axis(axis, x.ndim)
    if COLLECTIVES[name].splits and x.shape[dim] % len(groups[0]):
        raise located(
            ShapeError,
            f"{name}: axis {dim} of shape {x.shape} has to be a multiple of the {len(groups[0])} "
            "ranks of a group",
        )
    return dim


def _along(name: str, x: Any, axis: int, groups: Groups, op: str = "") -> Any:
    if not isinstance(x, TracedTensor):
        return np.array(x)
    dim = _checked(name, x, axis, groups)
    made = _first_dim(name, call(np.moveaxis, x, dim, 0), groups, op)
    return call(np.moveaxis, made, 0, dim)


def _first_dim(name: str, x: TracedTensor, groups: Groups, op: str = "") -> TracedTensor:
    """Record a collective along the first dim."""
    shape = COLLECTIVES[name].shape(x.shape, len(groups[0]))
    step = Step(
        kind=name,
        sizes=shape,
        inputs=[Read(tensor=x, index=identity_index([-1] * x.ndim))],
        index=identity_index(range(len(shape))),
        attrs=collective_attrs(groups, op),
    )
    return x.builder.emit(step, shape, x.element)


def _with_dims(x: TracedTensor) -> Any:
    return x if x.ndim else x.reshape((1,))


def _folded(x: TracedTensor, op: str) -> Any:
    """Reduced over the first dim, in its own type."""
    if x.element.kind == "bool":
        return call(_BOOL_FOLDS[op], x, axis=0)
    return call(_FOLDS[op], x, axis=0).astype(x.element.numpy)
