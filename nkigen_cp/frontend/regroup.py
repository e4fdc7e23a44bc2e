"""Dims merged and split: the copy that a reshape is, and whether numpy needs one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from nkigen_cp.frontend.factors import refine
from nkigen_cp.frontend.step import Read, Step
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import identity_index

Strides = tuple[int, ...]


def reshape_step(a: TracedTensor, new: tuple[int, ...]) -> Step:
    """Row-major reshape: a copy over the common factors if the shapes nest, else ``reshape``."""
    factors = refine(a.shape, new)
    attrs = {"dtype": a.element.name}
    if factors:
        read = Read(tensor=a, index=factors.first)
        return Step(
            kind="copy", sizes=factors.sizes, inputs=[read], index=factors.second, attrs=attrs
        )
    read = Read(tensor=a, index=identity_index([-1] * a.ndim))
    index = identity_index(range(len(new)))
    return Step(kind="reshape", sizes=new, inputs=[read], index=index, attrs=attrs)


def row_major(shape: Sequence[int]) -> Strides:
    """Elements between neighbours along every dim of a row-major array."""
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def strides_of(array: TracedTensor) -> Strides:
    """Elements between neighbours along every dim, in the memory that the array is a view of."""
    if array.origin is None:
        return row_major(array.shape)
    above, step = strides_of(array.origin.array), array.origin.step
    if step is None:
        return above
    if array.size == array.origin.array.size and not _plain(step):
        regrouped = view_strides(array.origin.array.shape, above, array.shape)
        assert regrouped is not None
        return regrouped
    axes = [0] * len(step.sizes)
    for stride, index in zip(above, step.reads[0].index, strict=True):
        for term in index.terms:
            axes[term.axis] += stride * term.stride
    return tuple(axes[i.terms[0].axis] if i.terms else 0 for i in step.index)


def _plain(step: Step) -> bool:
    """Whether every dim of the result is one axis."""
    return step.kind == "copy" and all(len(i.terms) < 2 for i in step.index)


def view_strides(shape: Sequence[int], strides: Strides, new: Sequence[int]) -> Strides | None:
    """Strides of a row-major reshape without a copy; None if it needs one."""
    if 0 in (*shape, *new):
        return row_major(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    found: list[int] = []
    for group, into in _groups([n for n, _ in old], new):
        run, old = old[: len(group)], old[len(group) :]
        if any(a[1] != b[0] * b[1] for a, b in pairwise(run)):
            return None
        inner = run[-1][1] if run else 1
        found += [inner * s for s in row_major(into)]
    return tuple(found)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The shortest runs of dims of two shapes that hold as many elements as each other."""
    found: list[tuple[list[int], list[int]]] = []
    left, right = list(old), list(new)
    while left or right:
        group, into = [left.pop(0)] if left else [], [right.pop(0)] if right else []
        while math.prod(group) != math.prod(into):
            if math.prod(group) < math.prod(into):
                group.append(left.pop(0))
            else:
                into.append(right.pop(0))
        found.append((group, into))
    return found
