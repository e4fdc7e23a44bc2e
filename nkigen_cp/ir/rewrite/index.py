"""Index maps seen from another op's axes: substitution, comparison and alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nkigen_cp.ir.tensor.graph import (
    Axis,
    DimIndex,
    Immediate,
    Input,
    Op,
    Operand,
    Tensor,
    Term,
)

Substitution = Mapping[int, DimIndex]
"""Inner axis -> its position in terms of the outer op's axes."""


def normal(index: Sequence[DimIndex], axes: Sequence[Axis]) -> tuple[DimIndex, ...]:
    """The same index map in one spelling: terms merged and sorted, axes of size 1 left out."""
    return tuple(_merged(d, axes) for d in index)


def _merged(dim: DimIndex, axes: Sequence[Axis]) -> DimIndex:
    strides: dict[int, int] = {}
    for term in dim.terms:
        if axes[term.axis].size != 1:
            strides[term.axis] = strides.get(term.axis, 0) + term.stride
    kept = tuple(Term(axis=a, stride=s) for a, s in sorted(strides.items()) if s)
    return replace(dim, terms=kept)


def same_input(left: Input, right: Input, axes: Sequence[Axis]) -> bool:
    """Whether two inputs over the same axes are the same value at every iteration."""
    if isinstance(left, Immediate) or isinstance(right, Immediate):
        return left == right
    return left.tensor == right.tensor and normal(left.index, axes) == normal(right.index, axes)


def used_axes(index: Sequence[DimIndex]) -> tuple[int, ...]:
    """The axes an index map mentions, ascending."""
    return tuple(sorted({t.axis for d in index for t in d.terms}))


def substitute(index: Sequence[DimIndex], by: Substitution) -> tuple[DimIndex, ...]:
    """The index map with every axis replaced by its position over other axes."""
    return tuple(_substituted(d, by) for d in index)


def _substituted(dim: DimIndex, by: Substitution) -> DimIndex:
    offset, strides = dim.offset, dict[int, int]()
    for term in dim.terms:
        position = by[term.axis]
        offset += term.stride * position.offset
        for t in position.terms:
            strides[t.axis] = strides.get(t.axis, 0) + term.stride * t.stride
    terms = tuple(Term(axis=a, stride=s) for a, s in strides.items())
    return replace(dim, offset=offset, terms=terms)


def renumber(value: Input, numbers: Mapping[int, int]) -> Input:
    """An input with its axes renumbered."""
    if isinstance(value, Immediate):
        return value
    by = {old: DimIndex(terms=(Term(axis=new),)) for old, new in numbers.items()}
    return replace(value, index=substitute(value.index, by))


def plain_dims(operand: Operand, tensor: Tensor, axes: Sequence[Axis]) -> tuple[int, ...] | None:
    """The axis that runs over each dim (-1 for a dim of size 1) if each runs over the whole dim.

    None when the operand is anything else: a window, a broadcast, a diagonal, a merged dim.
    """
    dims: list[int] = []
    for size, dim in zip(tensor.shape, operand.index, strict=True):
        live = tuple(t for t in dim.terms if axes[t.axis].size != 1)
        if size == 1 and not live and not dim.offset and not dim.picked:
            dims.append(-1)
        elif len(live) == 1 and not dim.offset and live[0].stride == 1:
            dims.append(live[0].axis)
        else:
            return None
    if any(d >= 0 and axes[d].size != s for d, s in zip(dims, tensor.shape, strict=True)):
        return None
    named = [d for d in dims if d >= 0]
    return tuple(dims) if len(set(named)) == len(named) else None


def is_identity(op: Op, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a one-input op reads every element of its operand at the place where it writes it."""
    if len(op.operands) != 1 or len(op.outputs) != 1:
        return False
    source, result = op.operands[0], op.outputs[0]
    if tensors[source.tensor].shape != tensors[result.tensor].shape:
        return False
    read = plain_dims(source, tensors[source.tensor], op.axes)
    return read is not None and read == plain_dims(result, tensors[result.tensor], op.axes)


def align(inner: Op, tensor: Tensor, read: Operand, axes: Sequence[Axis]) -> Substitution | None:
    """How the axes of ``inner``, the producer of ``tensor``, run over the axes of its reader.

    Args:
        inner: an elementwise op that writes the whole tensor.
        tensor: what it writes.
        read: the reader's operand.
        axes: the reader's axes.

    Returns:
        A substitution that maps the iteration boxes one to one, or None where there is none: the
        reader broadcasts the result, or sees a window of it.
    """
    written = plain_dims(inner.outputs[0], tensor, inner.axes)
    seen = plain_dims(read, tensor, axes)
    if written is None or seen is None:
        return None
    by = {number: DimIndex() for number, axis in enumerate(inner.axes) if axis.size == 1}
    by.update(
        (w, DimIndex(terms=(Term(axis=s),)))
        for w, s in zip(written, seen, strict=True)
        if w >= 0 and s >= 0
    )
    whole = all(a.size == 1 or n in seen for n, a in enumerate(axes))
    return by if whole and len(by) == len(inner.axes) else None
