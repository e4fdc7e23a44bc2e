"""Contractions read only in windows become one contraction per window.

``qkv = x @ w`` that is only ever read as ``q``, ``k`` and ``v`` is three matmuls over column
windows of ``w``: the same work, but each window is factored (heads, groups) and laid out by itself.
Windows pass through elementwise ops on the way, such as a bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nkigen_cp.ir.rewrite.casts import drop_identities
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.shared import remove_dead_ops
from nkigen_cp.ir.tensor.graph import Immediate, Input, Op, Operand
from nkigen_cp.ir.tensor.table import Family

WINDOW_MIN = 256
"""Narrower windows would leave most of a PSUM bank (512 float32 columns) and of a matmul empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``size`` positions of dim ``dim`` from ``start``."""

    dim: int
    start: int
    size: int


def split_windows(draft: Draft) -> None:
    """Split every contraction, and what follows it elementwise, that is read only in windows."""
    for name in reversed(tuple(draft.order)):
        op = draft.ops.get(name)
        if op is not None and _is_splittable(draft, op):
            windows = _windows(draft, op)
            if windows:
                _split(draft, op, windows)
    drop_identities(draft)
    remove_dead_ops(draft)


def _is_splittable(draft: Draft, op: Op) -> bool:
    result = op.outputs[0].tensor
    if len(op.outputs) != 1 or draft.is_fixed(result) or len(draft.writers(result)) != 1:
        return False
    if draft.family(op) is Family.CONTRACT:
        return True
    if draft.family(op) is not Family.ELEMENTWISE:
        return False
    sources = [draft.producer(o.tensor) for o in op.operands if len(draft.readers(o.tensor)) == 1]
    return any(p is not None and _is_splittable(draft, p) for p in sources)


def _windows(draft: Draft, op: Op) -> list[Window]:
    """The disjoint windows along one dim through which everybody reads the result, or nothing."""
    result = op.outputs[0]
    shape = draft.tensors[result.tensor].shape
    found: dict[Window, None] = {}
    for reader in draft.readers(result.tensor):
        for operand in reader.operands:
            if operand.tensor == result.tensor:
                window = _window(operand, reader, shape)
                if window is None:
                    return []
                found[window] = None
    windows = sorted(found, key=lambda w: w.start)
    ends = [w.start + w.size for w in windows]
    apart = all(e <= w.start for e, w in zip(ends, windows[1:], strict=False))
    same = len({w.dim for w in windows}) == 1
    wide = all(w.size >= WINDOW_MIN for w in windows)
    return windows if len(windows) > 1 and apart and same and wide else []


def _window(operand: Operand, reader: Op, shape: tuple[int, ...]) -> Window | None:
    """The only dim read in part, and which part; None if there is no such single dim."""
    parts: list[Window] = []
    for d, (dim, size) in enumerate(zip(operand.index, shape, strict=True)):
        if len(dim.terms) > 1 or any(t.stride != 1 for t in dim.terms):
            return None
        extent = reader.axes[dim.terms[0].axis].size if dim.terms else max(1, dim.picked)
        if extent != size:
            parts.append(Window(dim=d, start=dim.offset, size=extent))
    return parts[0] if len(parts) == 1 else None


def _split(draft: Draft, op: Op, windows: list[Window]) -> None:
    result = op.outputs[0]
    terms = result.index[windows[0].dim].terms
    if len(terms) != 1 or terms[0].stride != 1:
        return
    axis = terms[0].axis
    for window in windows:
        like = draft.tensors[result.tensor]
        shape = tuple(window.size if d == window.dim else n for d, n in enumerate(like.shape))
        part = draft.new_tensor(result.tensor, replace(like, shape=shape))
        axes = tuple(
            replace(a, size=window.size) if n == axis else a for n, a in enumerate(op.axes)
        )
        draft.add(
            replace(
                op,
                name=draft.new_op_name(op.name),
                axes=axes,
                inputs=tuple(_shifted(i, axis, window.start) for i in op.inputs),
                outputs=(replace(result, tensor=part),),
            ),
            before=op.name,
        )
        for reader in draft.readers(result.tensor):
            _redirect(draft, reader, result.tensor, window, part)
    draft.remove(op.name)


def _shifted(value: Input, axis: int, start: int) -> Input:
    """The operand read from ``start`` on along the axis."""
    if isinstance(value, Immediate):
        return value
    index = tuple(
        replace(d, offset=d.offset + start * sum(t.stride for t in d.terms if t.axis == axis))
        for d in value.index
    )
    return replace(value, index=index)


def _redirect(draft: Draft, reader: Op, tensor: str, window: Window, part: str) -> None:
    """Let a reader of the window read the part instead."""
    shape = draft.tensors[tensor].shape

    def moved(value: Input) -> Input:
        if isinstance(value, Immediate) or value.tensor != tensor:
            return value
        if _window(value, reader, shape) != window:
            return value
        index = tuple(
            replace(d, offset=d.offset - window.start) if k == window.dim else d
            for k, d in enumerate(value.index)
        )
        return Operand(tensor=part, index=index)

    draft.replace(replace(reader, inputs=tuple(moved(i) for i in reader.inputs)))
