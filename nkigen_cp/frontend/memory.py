"""Memory that traced arrays share: views of it, writes into it, and its value at any time.

A write records nothing by itself. It lays a patch over the memory's content; what is read later is
made of the patches it meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nkigen_cp.errors import ReadOnlyError
from nkigen_cp.frontend.axes import result_names
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.content import Line, Patch, Positions, covered, joined, seen, single, whole
from nkigen_cp.frontend.known import values_of
from nkigen_cp.frontend.regroup import reshape_step
from nkigen_cp.frontend.step import Step
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array

if TYPE_CHECKING:
    from nkigen_cp.frontend.builder import Builder


@dataclass(slots=True, kw_only=True, eq=False)
class Memory:
    """What one array owns; once written it is a tensor of ``shape`` made of ``patches``.

    Arrays that took their value from an earlier ``version`` are out of date. ``known``: all values
    are known while tracing; ``filled``: they are all this one. The value of an ``input`` is read as
    a whole where several patches meet, so that the kernel can update it in place.
    """

    version: int = 0
    shape: tuple[int, ...] = ()
    patches: list[Patch] | None = None
    known: bool = False
    filled: Array | None = None
    input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """How a view sees another array: the copy that would make it; None for the same elements."""

    array: TracedTensor
    step: Step | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    """Where a view lies along one dim: at ``row``, counted by one of its dims or by none."""

    dim: int | None
    row: Positions


def view_of(array: TracedTensor, step: Step | None, shape: tuple[int, ...]) -> TracedTensor:
    """The array that ``step`` shows of another one; what is written to one is seen by both."""
    names = array.axes
    if step is not None:
        placed = [(array, step.reads[0].index)]
        names = result_names(shape, step.index, step.sizes, placed)
    view = TracedTensor(
        builder=array.builder, shape=shape, element=array.element, axes=names, memory=array.memory
    )
    view.origin = Origin(array=array, step=step)
    if array.builder.reading and not array.memory.known:
        current(view)
    return view


def duplicate_of(array: TracedTensor) -> TracedTensor:
    """A copy with a memory of its own; nothing has to be moved for it."""
    return _frozen(array)


def root_of(array: TracedTensor) -> TracedTensor:
    """The array whose memory a view is of."""
    while array.origin is not None:
        array = array.origin.array
    return array


def current(array: TracedTensor) -> int:
    """The number of the tensor that the array is now."""
    memory = array.memory
    if array.held < 0 or array.version != memory.version:
        array.held = _value(array)
        array.version = memory.version
    return array.held


def _frozen(array: TracedTensor) -> TracedTensor:
    """The array as it is now."""
    return TracedTensor(
        builder=array.builder,
        shape=array.shape,
        element=array.element,
        axes=array.axes,
        memory=Memory(),
        held=current(array),
    )


def _value(array: TracedTensor) -> int:
    if array.memory.known:
        return array.builder.constant(values_of(array)).held
    if array.origin is None:
        return _whole_value(array)
    return current(array.origin.array) if array.origin.step is None else _view_value(array)


def _whole_value(root: TracedTensor) -> int:
    builder = root.builder
    value = _content(builder, root.memory, root)
    if value.shape == root.shape:
        return value.held
    return builder.emit(reshape_step(value, root.shape), root.shape, root.element).held


def _view_value(view: TracedTensor) -> int:
    assert view.origin is not None
    assert view.origin.step is not None
    builder, shown = view.builder, _shown(view)
    if shown is None:
        return builder.emit(view.origin.step, view.shape, view.element).held
    if shown[0].fills:
        return shown[0].value.held
    return joined(builder, shown, view.shape, view.element, view.axes).held


def _content(builder: Builder, memory: Memory, root: TracedTensor) -> TracedTensor:
    """What the memory holds, as one tensor."""
    assert memory.patches is not None
    first = memory.patches[0]
    if len(memory.patches) == 1 and first.fills:
        return first.value
    names = root.axes if memory.shape == root.shape else None
    value = joined(builder, memory.patches, memory.shape, root.element, names)
    memory.patches = [whole(value)]
    return value


def _shown(view: TracedTensor) -> list[Patch] | None:
    """The patches that make up a view; None if it has to be read through what it is a view of."""
    memory = view.memory
    anchor, places = _anchored(view)
    if memory.patches is None or anchor.shape != memory.shape or not _spans(anchor):
        return None
    found = seen(memory.patches, [p.row for p in places])
    if not found or (memory.input and len(found) > 1):
        return None
    return [_turned(patch, places, view.ndim) for patch in found]


def _turned(patch: Patch, places: Sequence[_Place], ndim: int) -> Patch:
    """A patch over an array's dims as one over those of its view."""
    base = list(patch.base)
    lines = [single(0)] * ndim
    for line, place in zip(patch.lines, places, strict=True):
        if place.dim is not None:
            lines[place.dim] = line
        elif line.source is not None:
            base[line.source] = int(line.at[0])
    return replace(patch, lines=tuple(lines), base=tuple(base))


def _anchored(view: TracedTensor) -> tuple[TracedTensor, list[_Place]]:
    """The nearest array above that a view is a window of, and where it lies along its dims."""
    places = [_Place(dim=d, row=np.arange(n, dtype=np.int64)) for d, n in enumerate(view.shape)]
    array = view
    while array.origin is not None:
        if array.origin.step is not None:
            above = _window(array.origin.step, places)
            if above is None:
                break
            places = above
        array = array.origin.array
    return array, places


def _window(step: Step, places: Sequence[_Place]) -> list[_Place] | None:
    """Places along the dims that the step reads; None if dims are merged, split or repeated."""
    dims: dict[int, int] = {}
    for dim, index in enumerate(step.index):
        if len(index.terms) > 1 or index.offset or any(t.stride != 1 for t in index.terms):
            return None
        dims.update((t.axis, dim) for t in index.terms)
    found: list[_Place] = []
    used: list[int] = []
    for index in step.reads[0].index:
        if len(index.terms) > 1:
            return None
        if not index.terms:
            found.append(_Place(dim=None, row=np.full(1, index.offset, np.int64)))
            continue
        term = index.terms[0]
        used.append(term.axis)
        if term.axis in dims:
            place = places[dims[term.axis]]
            found.append(replace(place, row=index.offset + term.stride * place.row))
    axes = [axis for axis, size in enumerate(step.sizes) if size != 1 or axis in used]
    complete = sorted(used) == axes and len(found) == len(step.reads[0].index)
    return found if complete and step.kind == "copy" else None


def _spans(anchor: TracedTensor) -> bool:
    """Whether an array is all of its memory in row-major order."""
    origin = anchor.origin
    if origin is None:
        return True
    step = origin.step
    regrouped = (
        step is None
        or step.kind == "reshape"
        or any(len(i.terms) > 1 for i in (*step.index, *step.reads[0].index))
    )
    return regrouped and anchor.size == origin.array.size and _spans(origin.array)


def write(target: TracedTensor, patch: Patch) -> None:
    """Let a window of an array, and so of its memory, have a new value.

    Raises:
        ReadOnlyError: several elements of the array are one in memory.
    """
    builder, memory = target.builder, target.memory
    if not all(line.to.size for line in patch.lines):
        _touch(memory, root_of(target))
        return
    anchor, places = _anchored(target)
    patch = _laid(patch, places)
    if _spans(anchor):
        _cover(memory, root_of(target), anchor.shape, patch)
        return
    assert anchor.origin is not None
    part = anchor.origin.array
    if part.size != anchor.size:
        raise located(
            ReadOnlyError,
            f"a broadcast view of shape {anchor.shape} is read-only; write to a copy of it",
        )
    patches = covered([whole(_frozen(anchor))], patch)
    value = joined(builder, patches, anchor.shape, anchor.element)
    turned = builder.emit(reshape_step(value, part.shape), part.shape, part.element)
    write(part, whole(turned))


def _laid(patch: Patch, places: Sequence[_Place]) -> Patch:
    """A patch over a view's dims as one over those of the array it is a window of."""
    base = list(patch.base)
    for dim, line in enumerate(patch.lines):
        if line.source is not None and all(p.dim != dim for p in places):
            base[line.source] = int(line.at[0])
    lines = tuple(
        single(int(place.row[0]))
        if place.dim is None
        else replace(line := patch.lines[place.dim], to=place.row[line.to])
        for place in places
    )
    return replace(patch, lines=lines, base=tuple(base))


def _touch(memory: Memory, root: TracedTensor) -> list[Patch]:
    """What the memory holds when something is written."""
    if memory.patches is None:
        memory.patches, memory.shape = [_first(memory, root)], root.shape
        memory.known = False
    memory.version += 1
    return memory.patches


def _cover(memory: Memory, root: TracedTensor, shape: tuple[int, ...], patch: Patch) -> None:
    builder, patches = root.builder, _touch(memory, root)
    if memory.shape != shape:
        value = _content(builder, memory, root)
        turned = builder.emit(reshape_step(value, shape), shape, root.element)
        patches, memory.shape = [whole(turned)], shape
    memory.patches = covered(patches, patch)


def _first(memory: Memory, root: TracedTensor) -> Patch:
    """What a memory holds before anything is written."""
    if memory.filled is None:
        return whole(_frozen(root))
    one = root.builder.constant(memory.filled)
    rows = [np.arange(n, dtype=np.int64) for n in root.shape]
    lines = tuple(Line(to=row, at=np.zeros_like(row), source=None) for row in rows)
    return Patch(value=one, lines=lines, base=())


def same_place(first: TracedTensor, second: TracedTensor) -> bool:
    """Whether two arrays are the same elements of one memory in the same order."""
    (one, here), (other, there) = _anchored(first), _anchored(second)
    return (
        one is other
        and first.shape == second.shape
        and all(
            a.dim == b.dim and np.array_equal(a.row, b.row)
            for a, b in zip(here, there, strict=True)
        )
    )
