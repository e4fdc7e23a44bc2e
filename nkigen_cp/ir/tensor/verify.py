"""Checks a tensor graph against the graph's own rules: one function per rule, in one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.errors import GraphError
from nkigen_cp.ir.tensor.collective_rows import collective_problems
from nkigen_cp.ir.tensor.graph import Axis, DimIndex, Graph, Immediate, Op, Operand
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS, Family, Result

Problems = Iterator[str]


def _is_not_empty(graph: Graph) -> Problems:
    if not graph.ops or not graph.result_names:
        yield "the graph is empty: it has no op, or neither an output nor a mutated input"


def _tensors_are_known(graph: Graph) -> Problems:
    for role, names in (
        ("input", graph.input_names),
        ("output", graph.output_names),
        ("mutated input", tuple(graph.mutated)),
        ("new value", tuple(graph.mutated.values())),
        ("constant", tuple(graph.constants)),
    ):
        for name in names:
            if name not in graph.tensors:
                yield f"{role} {name!r} is not among the graph's tensors"
    for op in graph.ops.values():
        for operand in (*op.operands, *op.outputs):
            if operand.tensor not in graph.tensors:
                yield f"op {op.name!r} uses tensor {operand.tensor!r}, which is not in the graph"


def _tensors_are_described(graph: Graph) -> Problems:
    for name, tensor in graph.tensors.items():
        if tensor.name != name or len(tensor.axes) != len(tensor.shape):
            yield (
                f"tensor {name!r} is stored as {tensor.name!r} with {len(tensor.axes)} axis names "
                f"for shape {tensor.shape}"
            )
    for name, array in graph.constants.items():
        tensor = graph.tensors[name]
        if array.shape != tensor.shape or array.dtype != tensor.dtype.numpy:
            yield (
                f"constant {name!r} is {array.dtype} {array.shape} but its tensor "
                f"{tensor.dtype} {tensor.shape}"
            )


def _producers(graph: Graph) -> dict[str, list[tuple[Op, Operand]]]:
    writers: dict[str, list[tuple[Op, Operand]]] = {}
    for op in graph.ops.values():
        for out in op.outputs:
            writers.setdefault(out.tensor, []).append((op, out))
    return writers


def _values_have_one_origin(graph: Graph) -> Problems:
    written = _producers(graph)
    for name in (*graph.input_names, *graph.constants):
        if name in written:
            writer = written[name][0][0].name
            yield f"{name!r} is an input or a constant, yet op {writer!r} writes it"
    given = dict.fromkeys((*graph.input_names, *graph.constants))
    for op in graph.ops.values():
        for operand in op.operands:
            if operand.tensor not in written and operand.tensor not in given:
                yield f"tensor {operand.tensor!r}, read by op {op.name!r}, is dangling: unwritten"
    for name in graph.result_names:
        if name not in written:
            yield f"output {name!r} is dangling: no op writes it"


def _new_values_fit(graph: Graph) -> Problems:
    for name, new in graph.mutated.items():
        before, after = graph.tensors[name], graph.tensors[new]
        if name not in graph.input_names or (before.shape, before.dtype) != (
            after.shape,
            after.dtype,
        ):
            yield (
                f"{new!r}, {after.dtype} {after.shape}, is no new value of {name!r}, "
                f"{before.dtype} {before.shape}: that must be an input of the same shape and dtype"
            )
    if len(dict.fromkeys(graph.result_names)) < len(graph.result_names):
        yield f"a tensor is returned twice among {', '.join(graph.result_names)}"


def _kinds_are_known(graph: Graph) -> Problems:
    for op in graph.ops.values():
        if op.kind not in OPS:
            yield f"op {op.name!r} has unknown kind {op.kind!r}{op.where()}"


def _arity_fits(graph: Graph) -> Problems:
    for op in graph.ops.values():
        arity = OPS[op.kind].arity
        if len(op.inputs) != arity or len(op.outputs) != 1 or not op.operands:
            yield (
                f"op {op.name!r} of kind {op.kind!r} must have {arity} inputs, one a tensor, "
                f"and 1 output; it has {len(op.inputs)} and {len(op.outputs)}{op.where()}"
            )


def _is_opaque(op: Op, operand: Operand) -> bool:
    """Whether an index map says nothing: what reshapes and collectives take as a whole."""
    family = OPS[op.kind].family
    return family in (Family.RESHAPE, Family.COLLECTIVE) and operand in op.operands


def _span(index: DimIndex, axes: Sequence[Axis]) -> tuple[int, int]:
    """Lowest and highest position an index takes over non-empty axes."""
    steps = [t.stride * (axes[t.axis].size - 1) for t in index.terms] + [max(0, index.picked - 1)]
    return index.offset + sum(min(s, 0) for s in steps), index.offset + sum(
        max(s, 0) for s in steps
    )


def _indices_fit(graph: Graph) -> Problems:
    for op in graph.ops.values():
        for operand in (*op.operands, *op.outputs):
            yield from (
                f"op {op.name!r}: {p}{op.where()}" for p in _index_problems(graph, op, operand)
            )


def _index_problems(graph: Graph, op: Op, operand: Operand) -> Problems:
    shape = graph.tensors[operand.tensor].shape
    if len(operand.index) != len(shape):
        yield f"{len(operand.index)} indices for tensor {operand.tensor!r} of shape {shape}"
        return
    if any(not 0 <= t.axis < len(op.axes) for index in operand.index for t in index.terms):
        yield f"an index of {operand.tensor!r} names an axis beyond the op's {len(op.axes)}"
        return
    if _is_opaque(op, operand) or any(axis.size == 0 for axis in op.axes):
        return
    for dim, (index, size) in enumerate(zip(operand.index, shape, strict=True)):
        if index.picked < 0 or (index.picked and index.terms):
            yield f"dim {dim} of {operand.tensor!r} is picked by data and runs along an axis too"
        low, high = _span(index, op.axes)
        if low < 0 or high >= size:
            yield (
                f"positions {low} to {high} are out of bounds of dim {dim} of {operand.tensor!r}, "
                f"size {size}"
            )


def _picks_fit(graph: Graph) -> Problems:
    """One dim of what gathers read and scatters write is addressed by data, by integers."""
    for op in graph.ops.values():
        family = OPS[op.kind].family
        gathers, scatters = family is Family.GATHER, family is Family.SCATTER
        picking = [op.operands[0]] if gathers or scatters else []
        for operand in (*op.operands, *op.outputs):
            dims = [d for d, index in enumerate(operand.index) if index.picked]
            writes = scatters and operand in op.outputs
            wanted = 1 if operand in picking or writes else 0
            if len(dims) != wanted:
                yield (
                    f"op {op.name!r}: {len(dims)} dims of {operand.tensor!r} are addressed by "
                    f"data; it must be {wanted}{op.where()}"
                )
        if picking and graph.tensors[op.operands[1].tensor].dtype.kind not in ("int", "uint"):
            dtype = graph.tensors[op.operands[1].tensor].dtype
            yield f"op {op.name!r}: the index is {dtype}; it must be an integer{op.where()}"


def _outputs_use_parallel_axes(graph: Graph) -> Problems:
    for op in graph.ops.values():
        for out in op.outputs:
            for term in (t for index in out.index for t in index.terms):
                if op.axes[term.axis].reduced:
                    yield (
                        f"op {op.name!r}: output {out.tensor!r} is indexed by reduced axis "
                        f"{op.axes[term.axis].name!r}{op.where()}"
                    )


def _dtypes_follow(graph: Graph) -> Problems:
    for op in graph.ops.values():
        row = OPS[op.kind]
        if row.result is Result.GIVEN and "dtype" not in op.attrs:
            yield f"op {op.name!r} of kind {op.kind!r} needs attribute 'dtype'{op.where()}"
            continue
        dtypes = [graph.tensors[o.tensor].dtype for o in op.operands]
        scalars = [i.value for i in op.inputs if isinstance(i, Immediate)]
        expected = result_dtype(row, dtypes, scalars, op.attrs)
        tensor = graph.tensors[op.outputs[0].tensor]
        if tensor.dtype is not expected:
            yield (
                f"op {op.name!r}: {op.kind} of {', '.join(map(str, dtypes))} gives {expected}, but "
                f"{tensor.name!r} is {tensor.dtype}{op.where()}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """What one op writes: per dim, the sorted positions; the product of the dims is written."""

    op: Op
    dims: tuple[NDArray[np.int64], ...]

    @property
    def size(self) -> int:
        return math.prod(len(d) for d in self.dims)

    def meets(self, other: _Window) -> bool:
        pairs = zip(self.dims, other.dims, strict=True)
        return all(np.intersect1d(a, b, assume_unique=True).size for a, b in pairs)


def _window(op: Op, out: Operand, shape: Sequence[int]) -> _Window:
    """Positions written; several iterations may not write one element.

    Raises:
        GraphError: they do.
    """
    if OPS[op.kind].family is Family.SCATTER:  # it takes over what it does not write
        return _Window(op=op, dims=tuple(np.arange(n, dtype=np.int64) for n in shape))
    used = [term.axis for index in out.index for term in index.terms]
    for position, axis in enumerate(op.axes):
        count = used.count(position)
        if not axis.reduced and (count > 1 or (count == 0 and axis.size > 1)):
            raise GraphError(
                f"op {op.name!r}: axis {axis.name!r} must index 1 dim of output {out.tensor!r} "
                f"but indexes {count}{op.where()}"
            )
    dims: list[NDArray[np.int64]] = []
    for index in out.index:
        positions = np.full(1, index.offset, np.int64)
        for term in index.terms:
            steps = term.stride * np.arange(op.axes[term.axis].size, dtype=np.int64)
            positions = (positions[:, None] + steps).ravel()
        if len(np.unique(positions)) != len(positions):
            raise GraphError(
                f"op {op.name!r} writes elements of {out.tensor!r} more than once{op.where()}"
            )
        dims.append(np.sort(positions))
    return _Window(op=op, dims=tuple(dims))


def _outputs_are_covered_once(graph: Graph) -> Problems:
    for name, writers in _producers(graph).items():
        shape = graph.tensors[name].shape
        windows = [_window(op, out, shape) for op, out in writers]
        for i, first in enumerate(windows):
            for second in windows[:i]:
                if first.meets(second):
                    yield f"ops {second.op.name!r} and {first.op.name!r} overlap in tensor {name!r}"
        written, size = sum(w.size for w in windows), graph.tensors[name].size
        if written < size:
            yield (
                f"only {written} of the {size} elements of tensor {name!r} are written"
                f"{windows[-1].op.where()}"
            )


def _has_no_cycle(graph: Graph) -> Problems:
    graph.topological()
    yield from ()


# In order: a rule may rely on those before it.
RULES: tuple[Callable[[Graph], Problems], ...] = (
    _is_not_empty,
    _tensors_are_known,
    _tensors_are_described,
    _values_have_one_origin,
    _new_values_fit,
    _kinds_are_known,
    _arity_fits,
    _indices_fit,
    _picks_fit,
    _outputs_use_parallel_axes,
    _outputs_are_covered_once,
    _dtypes_follow,
    collective_problems,
    _has_no_cycle,
)


def verify_graph(graph: Graph) -> None:
    """Check the graph.

    Raises:
        GraphError: a rule is broken; the message names graph, op, tensor and the user's line.
    """
    for rule in RULES:
        for problem in rule(graph):
            raise GraphError(f"graph {graph.name!r}: {problem}")
