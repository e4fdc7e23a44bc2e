"""Products by labels: einsum, and what is one of its cases."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.operands import (
    as_tensor,
    builder_of,
    common_dtype,
    normalize_axes,
)
from nkigen_cp.frontend.rearrange import diagonal
from nkigen_cp.frontend.reductions import reduce
from nkigen_cp.frontend.shape import ravel, reshape, transpose
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import identity_index


def einsum(subscripts: object, /, *operands: object, optimize: object = False) -> TracedTensor:
    """Sums of products by labels; pairs are contracted from left to right.

    Raises:
        ShapeError: the labels do not fit the operands, or a label has two sizes.
    """
    del optimize
    if not isinstance(subscripts, str):
        raise located(ShapeError, "einsum: the first argument must be a string of labels")
    builder = builder_of(operands)
    tensors = [as_tensor(builder, o) for o in operands]
    inputs, output = _labels(subscripts, tensors)
    _check_sizes(inputs, tensors)
    terms = [_diagonals(t, ls) for t, ls in zip(tensors, inputs, strict=True)]
    result, labels = terms[0]
    for k, (tensor, more) in enumerate(terms[1:], 1):
        later = {*output, *itertools.chain.from_iterable(ls for _, ls in terms[k + 1 :])}
        result, labels = _pair((result, labels), (tensor, more), later)
    gone = [d for d, label in enumerate(labels) if label not in output]
    if gone:
        result = reduce("sum", result, tuple(gone), False, None)
        labels = [label for label in labels if label in output]
    return transpose(result, [labels.index(label) for label in output])


def _labels(subscripts: str, tensors: Sequence[TracedTensor]) -> tuple[list[list[str]], list[str]]:
    """Labels of every operand's dims and of the result's; an ellipsis has capital ones."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(tensors):
        raise located(ShapeError, f"einsum: {subscripts!r} is for {len(parts)} operands")
    spare = [c for c in string.ascii_letters if c not in text]
    widest = max(t.ndim - len(p.replace("...", "")) for p, t in zip(parts, tensors, strict=True))
    rest = spare[: max(0, widest)]
    inputs: list[list[str]] = []
    for part, tensor in zip(parts, tensors, strict=True):
        head, dots, tail = part.partition("...")
        count = tensor.ndim - len(head) - len(tail)
        if count < 0 or (count and not dots):
            raise located(
                ShapeError, f"einsum: labels {part!r} do not fit an operand of shape {tensor.shape}"
            )
        inputs.append([*head, *rest[len(rest) - count :], *tail])
    if arrow:
        head, dots, tail = right.partition("...")
        return inputs, [*head, *(rest if dots else ()), *tail]
    every = list(itertools.chain.from_iterable(inputs))
    named = sorted({c for c in every if c not in rest and every.count(c) == 1})
    return inputs, [*rest, *named]


def _check_sizes(inputs: Sequence[Sequence[str]], tensors: Sequence[TracedTensor]) -> None:
    sizes: dict[str, int] = {}
    for labels, tensor in zip(inputs, tensors, strict=True):
        for label, size in zip(labels, tensor.shape, strict=True):
            if sizes.setdefault(label, size) not in (size, 1) and size != 1:
                raise located(
                    ShapeError, f"einsum: label {label!r} has sizes {sizes[label]} and {size}"
                )
            sizes[label] = max(sizes[label], size)


Term = tuple[TracedTensor, list[str]]


def _diagonals(tensor: TracedTensor, labels: Sequence[str]) -> Term:
    """A label used twice in one operand takes its diagonal."""
    kept = list(labels)
    for label in dict.fromkeys(labels):
        while kept.count(label) > 1:
            dims = [d for d, c in enumerate(kept) if c == label][:2]
            tensor = diagonal(tensor, 0, *dims)
            kept = [*(c for d, c in enumerate(kept) if d not in dims), label]
    return tensor, kept


def _pair(a: Term, b: Term, later: set[str]) -> Term:
    """The product of two operands, summed over what is needed no more."""
    a, b = (_summed(x, y, later) for x, y in ((a, b), (b, a)))
    (x, left), (y, right) = a, b
    shared = [c for c in left if c in right]
    gone = [c for c in shared if c not in later]
    every = list(dict.fromkeys([*left, *right]))
    kept = [c for c in every if c not in gone]
    if not gone:
        return elementwise("multiply", _spread(x, left, every), _spread(y, right, every)), every
    axes = [*kept, *gone]
    sizes = [max(_size(t, ls, c) for t, ls in (a, b)) for c in axes]
    reads = [
        Read(
            tensor=t,
            index=identity_index(
                -1 if _size(t, ls, c) == 1 < sizes[axes.index(c)] else axes.index(c) for c in ls
            ),
        )
        for t, ls in (a, b)
    ]
    step = Step(
        kind="contract",
        sizes=sizes,
        inputs=reads,
        index=identity_index(range(len(kept))),
        reduced=range(len(kept), len(axes)),
    )
    element = common_dtype(x.builder, (x, y), None)
    return x.builder.emit(step, tuple(sizes[: len(kept)]), element), kept


def _size(tensor: TracedTensor, labels: Sequence[str], label: str) -> int:
    return tensor.shape[labels.index(label)] if label in labels else 1


def _summed(term: Term, other: Term, later: set[str]) -> Term:
    """The operand summed over labels that only it has."""
    tensor, labels = term
    gone = [d for d, c in enumerate(labels) if c not in other[1] and c not in later]
    if not gone:
        return term
    kept = [c for d, c in enumerate(labels) if d not in gone]
    return reduce("sum", tensor, tuple(gone), False, None), kept


def _spread(tensor: TracedTensor, labels: Sequence[str], every: Sequence[str]) -> TracedTensor:
    """The operand with a dim per label, those it lacks of size 1."""
    order = sorted(range(len(labels)), key=lambda d: every.index(labels[d]))
    moved = transpose(tensor, order)
    sizes = {labels[d]: tensor.shape[d] for d in order}
    return reshape(moved, [sizes.get(c, 1) for c in every])


def tensordot(a: object, b: object, axes: Any = 2) -> TracedTensor:
    """Contraction over the last dims of ``a`` with the first of ``b``, or over given pairs.

    Raises:
        ShapeError: the dims disagree.
    """
    builder = builder_of((a, b))
    x, y = as_tensor(builder, a), as_tensor(builder, b)
    if isinstance(axes, (tuple, list)):
        first, second = cast("Sequence[Any]", axes)
        pairs = normalize_axes(first, x.ndim), normalize_axes(second, y.ndim)
    else:
        pairs = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    if [x.shape[d] for d in pairs[0]] != [y.shape[d] for d in pairs[1]]:
        raise located(
            ShapeError, f"tensordot: shapes {x.shape} and {y.shape} disagree along axes {axes}"
        )
    names = iter(string.ascii_letters)
    left = [next(names) for _ in range(x.ndim)]
    shared = {e: left[d] for d, e in zip(*pairs, strict=True)}
    right = [shared[d] if d in shared else next(names) for d in range(y.ndim)]
    out = [c for c in (*left, *right) if c not in shared.values()]
    return einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", x, y)


def outer(a: object, b: object) -> TracedTensor:
    """Every element of ``a`` times every element of ``b``."""
    builder = builder_of((a, b))
    x, y = ravel(as_tensor(builder, a)), ravel(as_tensor(builder, b))
    return elementwise("multiply", reshape(x, (x.size, 1)), reshape(y, (1, y.size)))


def inner(a: object, b: object) -> TracedTensor:
    """Contraction of the last dims.

    Raises:
        ShapeError: they disagree.
    """
    builder = builder_of((a, b))
    x, y = as_tensor(builder, a), as_tensor(builder, b)
    if not x.ndim or not y.ndim:
        return elementwise("multiply", x, y)
    return tensordot(x, y, ((-1,), (-1,)))


def vdot(a: object, b: object, /) -> TracedTensor:
    """The sum of the products of all elements."""
    builder = builder_of((a, b))
    return inner(ravel(as_tensor(builder, a)), ravel(as_tensor(builder, b)))


FUNCTIONS: dict[Callable[..., Any], Handler] = {
    cast("Any", np).einsum: einsum,
    np.tensordot: tensordot,
    np.outer: outer,
    np.inner: inner,
    np.vdot: vdot,
}
