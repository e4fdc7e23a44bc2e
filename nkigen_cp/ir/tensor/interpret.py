"""Reference interpreter: runs a tensor graph with numpy.

One mechanism does all addressing: an operand is a strided view of its array with one dim per
iteration axis, built from its index map; a result is written through such a view.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nkigen_cp.errors import ArgumentError, SimulationError
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.collective_rows import groups_of, ranks_of
from nkigen_cp.ir.tensor.graph import Array, DimIndex, Graph, Immediate, Op, Operand, Tensor
from nkigen_cp.ir.tensor.table import OPS, Family

Precision = Literal["float64", "graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpretation:
    """The graph's outputs in order, the new values of mutated inputs, tensors asked for by name.

    With precision ``float64`` all floats are float64; with ``graph`` tensors have their own dtypes.
    """

    outputs: tuple[Array, ...]
    mutated: tuple[Array, ...]
    kept: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widths:
    """The float dtype ops compute in, and whether tensors keep it instead of their own dtype."""

    compute: np.dtype[Any]
    stores_own: bool

    def stored(self, dtype: DType) -> np.dtype[Any]:
        return dtype.numpy if self.stores_own or not dtype.is_float else self.compute


_WIDTHS: dict[str, _Widths] = {
    "float64": _Widths(compute=np.dtype(np.float64), stores_own=False),
    "graph": _Widths(compute=np.dtype(np.float32), stores_own=True),
}


def interpret(
    graph: Graph,
    inputs: Sequence[Array],
    *,
    precision: Precision = "float64",
    keep: Sequence[str] = (),
) -> Interpretation:
    """Run the graph.

    Args:
        graph: a graph that ``verify_graph`` accepts.
        inputs: one array per graph input, of its shape; converted to its dtype.
        precision: ``float64`` computes every float in float64 and never rounds; ``graph`` computes
            every op in float32 and rounds its result to its tensor's dtype. Integers are exact.
        keep: names of further tensors to return.

    Raises:
        ArgumentError: wrong number or shapes of inputs, unknown precision or name in ``keep``.
    """
    (done,) = interpret_ranks(graph, [inputs], precision=precision, keep=keep)
    return done


def interpret_ranks(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    *,
    precision: Precision = "float64",
    keep: Sequence[str] = (),
) -> tuple[Interpretation, ...]:
    """Run the graph on several ranks, with one list of inputs each; see ``interpret``.

    Raises:
        ArgumentError: as ``interpret``, or the collectives are over another number of ranks.
    """
    for given in inputs:
        _check(graph, given, precision, keep)
    wanted = ranks_of(graph)
    if wanted not in (None, len(inputs)):
        raise ArgumentError(
            f"graph {graph.name!r} has collectives over {wanted} ranks, got the arguments of "
            f"{len(inputs)}; use interpret_ranks(graph, [arguments of rank 0, arguments of rank 1, "
            "...])"
        )
    widths = _WIDTHS[precision]
    ranks = [_given(graph, arrays, widths) for arrays in inputs]
    order = graph.topological()
    lasting = dict.fromkeys((*graph.result_names, *keep), True)
    last_read = {o.tensor: op.name for op in order for o in op.operands if o.tensor not in lasting}
    with np.errstate(all="ignore"):
        for op in order:
            if OPS[op.kind].family is Family.COLLECTIVE:
                _exchange(op, graph.tensors, ranks, widths)
            else:
                for values in ranks:
                    _run(op, graph.tensors, values, widths)
            dead = [o.tensor for o in op.operands if last_read.get(o.tensor) == op.name]
            for values, name in itertools.product(ranks, dead):
                values.pop(name, None)
    return tuple(
        Interpretation(
            outputs=tuple(values[name] for name in graph.output_names),
            mutated=tuple(values[name] for name in graph.mutated.values()),
            kept={name: values[name] for name in keep},
        )
        for values in ranks
    )


def _given(graph: Graph, inputs: Sequence[Array], widths: _Widths) -> dict[str, Array]:
    """What there is before the first op."""
    values: dict[str, Array] = {}
    for tensor, array in zip(graph.inputs, inputs, strict=True):
        values[tensor.name] = _stored(array, tensor.dtype, widths)
    for name, array in graph.constants.items():
        values[name] = _stored(array, graph.tensors[name].dtype, widths)
    return values


def _exchange(
    op: Op, tensors: Mapping[str, Tensor], ranks: Sequence[dict[str, Array]], widths: _Widths
) -> None:
    """A collective: every rank's result, of what the ranks of its group have."""
    (source,), (out,) = op.operands, op.outputs
    compute = _compute_dtype(op, tensors[out.tensor], ranks[0], widths)
    stored = widths.stored(tensors[out.tensor].dtype)
    for group in groups_of(op):
        held = [ranks[rank][source.tensor].astype(compute, copy=False) for rank in group]
        for place, rank in enumerate(group):
            made = OPS[op.kind].meaning(held, place, op.attrs["op"])
            ranks[rank][out.tensor] = np.asarray(made).astype(stored)


def _check(graph: Graph, inputs: Sequence[Array], precision: str, keep: Sequence[str]) -> None:
    if precision not in _WIDTHS:
        raise ArgumentError(f"precision {precision!r} is not one of {', '.join(_WIDTHS)}")
    if len(inputs) != len(graph.inputs):
        raise ArgumentError(
            f"graph {graph.name!r} has {len(graph.inputs)} inputs "
            f"({', '.join(graph.input_names)}), got {len(inputs)}"
        )
    for tensor, array in zip(graph.inputs, inputs, strict=True):
        if array.shape != tensor.shape:
            raise ArgumentError(
                f"input {tensor.name!r} has shape {tensor.shape}, got {array.shape}"
            )
    for name in keep:
        if name not in graph.tensors:
            raise ArgumentError(f"graph {graph.name!r} has no tensor {name!r} to keep")


def _stored(array: Array, dtype: DType, widths: _Widths) -> Array:
    """The array rounded to its tensor's dtype, in the dtype it is stored in."""
    return np.asarray(array).astype(dtype.numpy).astype(widths.stored(dtype))


def addressed(array: Array, index: Sequence[DimIndex], sizes: Sequence[int]) -> Array:
    """Strided view of ``array`` with one dim per iteration axis (writable if the array is)."""
    if 0 in sizes:
        return np.empty(tuple(sizes), array.dtype)
    strides = [0] * len(sizes)
    for dim, place in enumerate(index):
        for term in place.terms:
            strides[term.axis] += term.stride * array.strides[dim]
    # The ellipsis keeps a 0-d array a view instead of a scalar.
    corner = array[(*(slice(place.offset, None) for place in index), ...)]
    return np.lib.stride_tricks.as_strided(corner, tuple(sizes), strides)


def _run(op: Op, tensors: Mapping[str, Tensor], values: dict[str, Array], widths: _Widths) -> None:
    """Compute one op and write its result through its index map."""
    (out,) = op.outputs
    tensor = tensors[out.tensor]
    family = OPS[op.kind].family
    result = _FAMILIES[family](op, tensor, values, widths)
    if family is Family.SCATTER:
        values[out.tensor] = result
        return
    if out.tensor not in values:
        values[out.tensor] = np.zeros(tensor.shape, widths.stored(tensor.dtype))
    # A result does not depend on reduced axes: write it once, at their first position.
    sizes = [1 if axis.reduced else axis.size for axis in op.axes]
    target = addressed(values[out.tensor], out.index, sizes)
    target[tuple(0 if axis.reduced else slice(None) for axis in op.axes)] = result


def _operand(
    item: Operand | Immediate, op: Op, values: Mapping[str, Array], compute: np.dtype[Any]
) -> Any:
    """An input gathered into the iteration space, in the dtype the op computes in."""
    if isinstance(item, Immediate):
        return np.asarray(item.value).astype(compute)
    # Converted before gathering: the gathered view repeats elements along broadcast axes.
    array = values[item.tensor].astype(compute, copy=False)
    return addressed(array, item.index, [axis.size for axis in op.axes])


def _compute_dtype(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """Floats if any operand or the result is one; else the dtype the integers promote to."""
    held = [values[operand.tensor].dtype for operand in op.operands]
    numbers = [i.value for i in op.inputs if isinstance(i, Immediate)]
    floats = any(isinstance(n, float) for n in numbers)
    if tensor.dtype.is_float or floats or any(dtype.kind not in "iub" for dtype in held):
        return widths.compute
    # A test of booleans against a number is one of integers.
    wide = [np.dtype(np.int64)] if numbers and tensor.dtype.kind == "bool" else []
    return np.result_type(*held, *wide, tensor.dtype.numpy)


def _affine(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """Elementwise ops and reductions: the row's meaning over the gathered operands."""
    compute = _compute_dtype(op, tensor, values, widths)
    operands = [_operand(item, op, values, compute) for item in op.inputs]
    reduced = tuple(i for i, axis in enumerate(op.axes) if axis.reduced)
    if reduced:
        return OPS[op.kind].meaning(operands[0], axis=reduced)
    return OPS[op.kind].meaning(*operands)


def _copy(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """The gathered operand itself; writing it converts it."""
    del tensor, widths
    (operand,) = op.operands
    return addressed(values[operand.tensor], operand.index, [axis.size for axis in op.axes])


def _gather(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """The table at the positions that the index holds, everything else along its index map."""
    del tensor, widths
    table = op.operands[0]
    return values[table.tensor][_picked(op, values)]


def _scatter(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """The first operand with the third one written in it; the last of several writes counts."""
    base, _, given = op.operands
    result: Any = np.array(values[base.tensor], widths.stored(tensor.dtype))
    written = addressed(values[given.tensor], given.index, [axis.size for axis in op.axes])
    result[_picked(op, values)] = written
    return result


def _picked(op: Op, values: Mapping[str, Array]) -> Any:
    """The positions of the first operand in every iteration, one array per dim.

    Raises:
        SimulationError: an index is out of bounds.
    """
    table, index = op.operands[:2]
    sizes = [axis.size for axis in op.axes]
    dim = next(d for d, place in enumerate(table.index) if place.picked)
    place = table.index[dim]
    at = np.asarray(addressed(values[index.tensor], index.index, sizes), np.int64)
    outside = at[(at < 0) | (at >= place.picked)]
    if outside.size:
        raise SimulationError(
            f"op {op.name!r}: index {outside[0]} is out of bounds for {place.picked} positions of "
            f"dim {dim} of {table.tensor!r}{op.where()}"
        )
    axes = np.ogrid[tuple(slice(n) for n in sizes)]
    return tuple(
        np.asarray(
            at + p.offset if d == dim else p.offset + sum(t.stride * axes[t.axis] for t in p.terms)
        )
        for d, p in enumerate(table.index)
    )


def _reshape(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    del widths
    return np.reshape(values[op.operands[0].tensor], tensor.shape)


def _contract(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """Matrix product: axes grouped into batch, rows, columns and reduced ones."""
    compute = _compute_dtype(op, tensor, values, widths)
    used = [_axes_of(operand) for operand in op.operands]
    parallel = [i for i, axis in enumerate(op.axes) if not axis.reduced]
    k = [i for i, axis in enumerate(op.axes) if axis.reduced]
    batch = [i for i in parallel if all(i in axes for axes in used)]
    m = [i for i in parallel if i in used[0] and i not in batch]
    n = [i for i in parallel if i not in used[0]]
    sizes = [axis.size for axis in op.axes]
    lhs, rhs = (
        _matrix(_operand(item, op, values, compute), sizes, groups)
        for item, groups in zip(op.inputs, ((batch, m, k), (batch, k, n)), strict=True)
    )
    product = np.matmul(lhs, rhs).reshape([sizes[i] for i in (*batch, *m, *n)])
    found = [*batch, *m, *n]
    return product.transpose([found.index(i) for i in parallel])


def _rows(op: Op, tensor: Tensor, values: Mapping[str, Array], widths: _Widths) -> Any:
    """A function of rows: operands as (..., row), the rows it makes in the place of whole axes."""
    compute = _compute_dtype(op, tensor, values, widths)
    parallel = [i for i, axis in enumerate(op.axes) if not axis.whole]
    made = [i for i, axis in enumerate(op.axes) if axis.whole and not axis.reduced]
    operands: list[Any] = []
    for item in op.inputs:
        gathered = _operand(item, op, values, compute)
        if isinstance(item, Operand):
            used = [i for i in _axes_of(item) if op.axes[i].whole]
            own = [i for i, axis in enumerate(op.axes) if axis.whole and i in used]
            other = [i for i, axis in enumerate(op.axes) if axis.whole and i not in used]
            first = np.transpose(gathered, [*other, *parallel, *own])[(0,) * len(other)]
            gathered = first.reshape(*first.shape[: len(parallel)], -1)
        operands.append(gathered)
    sizes = [axis.size for axis in op.axes]
    rows = OPS[op.kind].meaning(*operands, length=math.prod(sizes[i] for i in made))
    found = [*parallel, *made]
    result = rows.reshape([sizes[i] for i in found])
    kept = [i for i, axis in enumerate(op.axes) if not axis.reduced]
    return result.transpose([found.index(i) for i in kept])


def _axes_of(operand: Operand) -> tuple[int, ...]:
    return tuple(term.axis for place in operand.index for term in place.terms)


def _matrix(gathered: Array, sizes: Sequence[int], groups: tuple[list[int], ...]) -> Array:
    """The gathered operand as [batch, rows, columns]; an axis in no group is a broadcast one."""
    axes = [i for group in groups for i in group]
    unused = [i for i in range(len(sizes)) if i not in axes]
    view = np.transpose(gathered, [*unused, *axes])[(0,) * len(unused)]
    return np.reshape(view, [math.prod(sizes[i] for i in group) for group in groups])


_Run = Callable[[Op, Tensor, Mapping[str, Array], _Widths], Any]
_FAMILIES: dict[Family, _Run] = {
    Family.ELEMENTWISE: _affine,
    Family.REDUCE: _affine,
    Family.COMPOSITE: _affine,
    Family.CONTRACT: _contract,
    Family.COPY: _copy,
    Family.ROW: _rows,
    Family.RESHAPE: _reshape,
    Family.GATHER: _gather,
    Family.SCATTER: _scatter,
}
