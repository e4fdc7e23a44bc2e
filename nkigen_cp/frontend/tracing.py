"""``trace``: run a numpy function once on recording tensors and get its graph."""

from __future__ import annotations

import inspect
import keyword
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from nkigen_cp.errors import ArgumentError, TraceError
from nkigen_cp.frontend import (
    assembled,
    composed,
    creation,
    elementwise,
    gathering,
    indexing,
    joining,
    linalg,
    ordering,
    placing,
    products,
    rearrange,
    reductions,
    running,
    shape,
    writing,
)
from nkigen_cp.frontend.assembly import assemble
from nkigen_cp.frontend.builder import Builder
from nkigen_cp.frontend.callsite import call_traced
from nkigen_cp.frontend.dispatch import Tables
from nkigen_cp.frontend.operands import copy
from nkigen_cp.frontend.structure import Arguments, Static, Tree, bind, flatten, labels, unflatten
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Graph, identity_index
from nkigen_cp.ir.tensor.promotion import narrow

TABLES = Tables(
    functions={
        **elementwise.FUNCTIONS,
        **reductions.FUNCTIONS,
        **linalg.FUNCTIONS,
        **shape.FUNCTIONS,
        **joining.FUNCTIONS,
        **indexing.FUNCTIONS,
        **rearrange.FUNCTIONS,
        **running.FUNCTIONS,
        **ordering.FUNCTIONS,
        **products.FUNCTIONS,
        **creation.FUNCTIONS,
        **writing.FUNCTIONS,
        **gathering.FUNCTIONS,
        **placing.FUNCTIONS,
        **composed.FUNCTIONS,
        **assembled.FUNCTIONS,
        **assembled.WRITES,
    },
    ufuncs={**elementwise.UFUNCS, **linalg.UFUNCS, **composed.UFUNCS},
    ufunc_methods={**reductions.UFUNC_METHODS, **running.UFUNC_METHODS},
    views=(
        *indexing.FUNCTIONS,
        *writing.FUNCTIONS,
        *placing.FUNCTIONS,
        *assembled.WRITES,
        *assembled.VIEWS,
        *shape.VIEWS,
        *joining.VIEWS,
        *rearrange.VIEWS,
    ),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An input without data; ``narrowed`` if a 64-bit dtype was asked for."""

    shape: tuple[int, ...]
    dtype: DType
    axes: tuple[str, ...] | None = None
    narrowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A graph with the structures of the call's arguments and of its result."""

    graph: Graph
    arguments: Arguments
    result: Tree


def spec(
    shape: int | Sequence[int],
    dtype: DType | DTypeLike = "float32",
    axes: Sequence[str] | None = None,
) -> Spec:
    """Shape, dtype and optional axis names of an input, for ``trace``.

    Raises:
        ArgumentError: a size is negative, or ``axes`` has not one distinct name per dim.
        UnsupportedError: the dtype is not supported.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(int(s) for s in shape)
    if any(s < 0 for s in sizes):
        raise ArgumentError(f"spec: shape {sizes} has a negative size")
    names = None if axes is None else tuple(axes)
    if names is not None and (len(names) != len(sizes) or len(dict.fromkeys(names)) != len(names)):
        raise ArgumentError(f"spec: axes {names} must be one distinct name per dim of {sizes}")
    row, narrowed = narrow(dtype)
    return Spec(shape=sizes, dtype=row, axes=names, narrowed=narrowed)


def name(x: T, wished: str) -> T:
    """Give a traced tensor a name; anything else passes through unchanged.

    Raises:
        ArgumentError: the name has other characters than letters, digits, ``_`` and ``.``.
    """
    if not wished or not all(c.isascii() and (c.isalnum() or c in "_.") for c in wished):
        raise ArgumentError(f"name {wished!r} must consist of letters, digits, '_' and '.'")
    if isinstance(x, TracedTensor):
        x.builder.namer.explicit[x.ident] = wished
    return x


def trace(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """The graph of ``fn``.

    Numpy arrays and specs among the arguments, also inside tuples, lists and dicts, become the
    graph's inputs in the order of the parameters; everything else is static. ``fn`` runs once.
    ``graph.arguments`` and ``graph.result`` hold the structures of the call and of what it returns.

    Raises:
        TraceError: the function returns no tensor, or needs a traced tensor's value.
        UnsupportedError: it uses something the front end does not support.
        ShapeError: shapes disagree.
        ArgumentError: the arguments do not fit the function.
    """
    signature = _signature(fn, len(args))
    given = bind(signature, args, kwargs, defaults=False)
    builder = Builder(tables=TABLES)
    trees: dict[str, Tree] = {}
    for parameter, value in bind(signature, args, kwargs).items():
        if parameter in given:
            given[parameter], trees[parameter] = _make_inputs(builder, value, parameter)
        else:
            trees[parameter] = Static(value=value)
    inputs = tuple(range(len(builder.tensors)))
    call = inspect.BoundArguments(signature, OrderedDict(given))
    with creation.creating(builder):
        returned = call_traced(fn, call.args, call.kwargs)
    builder.namer.finish()
    mutated = _mutated(builder, inputs)
    taken = (*inputs, *mutated.values())
    outputs, result = _make_outputs(builder, returned, taken, None if mutated else fn)
    builder.closed = True
    graph = assemble(
        builder, name=_function_name(fn), inputs=inputs, outputs=outputs, mutated=mutated
    )
    arguments = Arguments(signature=signature, trees=trees, wide=tuple(builder.wide))
    return replace(graph, arguments=arguments, result=result)


def trace_full(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Traced:
    """As ``trace``, with the structures as typed fields."""
    graph = trace(fn, *args, **kwargs)
    return Traced(graph=graph, arguments=graph.arguments, result=graph.result)


def _signature(fn: Callable[..., Any], given: int) -> inspect.Signature:
    """The function's parameters; older numpy does not tell those of its own functions."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        kind = inspect.Parameter.POSITIONAL_ONLY
        names = (f"x{k}" for k in range(1, given + 1))
        return inspect.Signature([inspect.Parameter(n, kind) for n in names])


def _make_inputs(builder: Builder, value: object, label: str) -> tuple[Any, Tree]:
    """The argument with its arrays and specs replaced by traced inputs, and its structure."""
    leaves, tree = flatten(value, lambda item: isinstance(item, (np.ndarray, Spec)), label)
    tensors: list[TracedTensor] = []
    for leaf, leaf_label in zip(leaves, labels(tree), strict=True):
        described = leaf if isinstance(leaf, Spec) else spec(leaf.shape, leaf.dtype)
        if described.narrowed:
            builder.warn_narrowed(described.dtype)
            builder.wide.append(len(builder.tensors))
        axes = described.axes or tuple(f"d{i}" for i in range(len(described.shape)))
        tensor = builder.tensor(described.shape, described.dtype, axes)
        tensor.memory.input = True
        builder.namer.wished[tensor.ident] = leaf_label
        tensors.append(tensor)
    return unflatten(tree, tensors), tree


def _make_outputs(
    builder: Builder, returned: object, taken: tuple[int, ...], fn: Callable[..., Any] | None
) -> tuple[tuple[int, ...], Tree]:
    """Numbers of the returned tensors, each with its own op, and the result's structure.

    ``fn`` is named where it returns none although it has to.
    """
    leaves, tree = flatten(returned, lambda item: isinstance(item, TracedTensor))
    if all(leaf.is_known for leaf in leaves) and fn is not None:
        code = getattr(fn, "__code__", None)
        place = f" (at {code.co_filename}:{code.co_firstlineno})" if code else ""
        raise TraceError(
            f"empty graph: {_function_name(fn)} returned no traced tensor but "
            f"{type(returned).__name__}; return what it computes{place}"
        )
    outputs: list[int] = []
    for tensor in leaves:
        outputs.append(_own(builder, tensor, (*taken, *outputs)))
    return tuple(outputs), tree


def _own(builder: Builder, tensor: TracedTensor, taken: Sequence[int]) -> int:
    """The number of a tensor that an op makes for this purpose alone."""
    builder.check_own([tensor])
    if tensor.ident not in taken and builder.kinds.get(tensor.ident) != "const":
        return tensor.ident
    index = identity_index(range(tensor.ndim))
    return copy(tensor, tensor.shape, index, tensor.shape, index).ident


def _mutated(builder: Builder, inputs: tuple[int, ...]) -> dict[int, int]:
    """Number of every input that was written to -> that of its new value."""
    found: dict[int, int] = {}
    for ident in inputs:
        array = builder.tensors[ident]
        if array.memory.version:
            new = found[ident] = _own(builder, array, (*inputs, *found.values()))
            builder.namer.wished.setdefault(new, builder.namer.wished[ident])
    return found


def _function_name(fn: Callable[..., Any]) -> str:
    """The function's name; ``kernel`` if it has none that could name a function in source."""
    name = str(getattr(fn, "__name__", ""))
    return name if name.isidentifier() and not keyword.iskeyword(name) else "kernel"
