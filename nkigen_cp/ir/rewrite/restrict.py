"""Ops over a window of their axes, and windows of tensors held as tensors of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import normal
from nkigen_cp.ir.tensor.graph import DimIndex, Immediate, Input, Op, Operand, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The positions ``start`` to ``stop``, without ``stop``, along an axis or a dim."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many positions there are."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A window of a tensor as tensor ``tensor``; ``starts`` has its first position in each dim."""

    tensor: str
    starts: tuple[int, ...]


def new_part(draft: Draft, tensor: str, spans: Mapping[int, Span], stem: str) -> Part:
    """Add a tensor for a window of another one, ``spans`` by dim; the other dims stay whole.

    It is called ``stem``, or that with a number if the name is taken.
    """
    like = draft.tensors[tensor]
    shape = tuple(spans[d].size if d in spans else n for d, n in enumerate(like.shape))
    return Part(
        tensor=draft.new_tensor(stem, replace(like, shape=shape)),
        starts=tuple(spans[d].start if d in spans else 0 for d in range(len(shape))),
    )


def restricted(op: Op, name: str, spans: Mapping[int, Span], parts: Mapping[str, Part]) -> Op:
    """The op over a window of its iteration box, ``spans`` by axis.

    It reads and writes the elements that the op addresses there: those of a tensor in ``parts`` in
    its part, which must hold them, all others where they are.
    """
    axes = tuple(replace(a, size=spans[n].size) if n in spans else a for n, a in enumerate(op.axes))

    def moved(value: Operand) -> Operand:
        part = parts.get(value.tensor)
        starts = part.starts if part else (0,) * len(value.index)
        return Operand(
            tensor=part.tensor if part else value.tensor,
            index=tuple(
                _moved(d, start, spans) for d, start in zip(value.index, starts, strict=True)
            ),
        )

    def read(value: Input) -> Input:
        return value if isinstance(value, Immediate) else moved(value)

    return replace(
        op,
        name=name,
        axes=axes,
        inputs=tuple(read(i) for i in op.inputs),
        outputs=tuple(moved(o) for o in op.outputs),
    )


def _moved(dim: DimIndex, start: int, spans: Mapping[int, Span]) -> DimIndex:
    shift = sum(t.stride * spans[t.axis].start for t in dim.terms if t.axis in spans)
    return replace(dim, offset=dim.offset + shift - start)


def axis_along(op: Op, operand: Operand, tensor: Tensor, dim: int) -> int | None:
    """The axis that runs one to one along a whole dim of an operand of the op, or None."""
    place = normal((operand.index[dim],), op.axes)[0]
    if len(place.terms) != 1 or place.terms[0].stride != 1:
        return None
    axis = place.terms[0].axis  # as long as the dim, it leaves no room for an offset
    return axis if op.axes[axis].size == tensor.shape[dim] else None


def dim_along(op: Op, operand: Operand, tensor: Tensor, axis: int) -> int | None:
    """The first dim of an operand along which an axis of the op runs one to one, or None."""
    dims = range(len(tensor.shape))
    return next((d for d in dims if axis_along(op, operand, tensor, d) == axis), None)
