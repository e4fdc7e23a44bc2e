"""Removes copies that only change the dtype, where an engine casts at no cost.

Engines compute in float32 and cast on the way in and out for free (instructions.md, "Rules that
hold for nearly every compute instruction"); the Tensor engine alone wants its operands as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import ml_dtypes

from nkigen_cp.ir.dtypes import TFLOAT32, TFLOAT32_BITS, DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import is_identity, plain_dims
from nkigen_cp.ir.tensor.graph import Op
from nkigen_cp.ir.tensor.table import Family


def _format(dtype: DType) -> tuple[int, int, int]:
    """Mantissa bits, largest and smallest exponent of a float type."""
    info = cast(Any, ml_dtypes.finfo(dtype.numpy))
    mantissa = TFLOAT32_BITS if dtype == TFLOAT32 else int(info.nmant)
    return mantissa, int(info.maxexp), int(info.minexp)


def widens(source: DType, result: DType) -> bool:
    """Whether every value of one float type is a value of the other, which is not the same type."""
    if not (source.is_float and result.is_float) or source == result:
        return False
    narrow, wide = _format(source), _format(result)
    return narrow[0] <= wide[0] and narrow[1] <= wide[1] and narrow[2] >= wide[2]


def narrows(source: DType, result: DType) -> bool:
    """Whether a cast between two float types may round."""
    return source.is_float and result.is_float and source != result and not widens(source, result)


def is_cast(op: Op, draft: Draft, test: Callable[[DType, DType], bool]) -> bool:
    """Whether an op is a copy that moves nothing and whose dtypes pass the test."""
    return (
        draft.family(op) is Family.COPY
        and is_identity(op, draft.tensors)
        and draft.producer(op.outputs[0].tensor) is not None
        and test(draft.dtype(op.operands[0].tensor), draft.dtype(op.outputs[0].tensor))
    )


def drop_identities(draft: Draft) -> None:
    """Remove copies that change nothing; the more telling of the two names stays."""
    for op in draft:
        if not is_cast(op, draft, lambda source, result: source == result):
            continue
        source, result = op.operands[0].tensor, op.outputs[0].tensor
        if not draft.is_fixed(source):
            draft.remove(op.name)
            draft.unite(source, result)
        elif result not in draft.protected and source not in draft.graph.mutated:
            draft.remove(op.name)
            draft.rename(result, source)


def absorb_widening(draft: Draft) -> None:
    """Let the readers of a widened tensor read the narrow one.

    Contractions keep reading the wide tensor. A view of it becomes a view of the narrow tensor and
    is widened after, so that it remains a pure change of index and its readers can follow suit. So
    does a gather from it, which then moves fewer bytes.
    """
    for op in draft:
        if not is_cast(op, draft, widens):
            continue
        narrow, wide = op.operands[0].tensor, op.outputs[0].tensor
        if wide in draft.protected or narrow in draft.graph.mutated:
            continue
        for reader in draft.readers(wide):
            _WIDE_READERS[draft.family(reader)](draft, reader, wide, narrow)


def _keep_wide(draft: Draft, reader: Op, wide: str, narrow: str) -> None:
    """The reader needs the wide tensor as it is."""


def _read_narrow(draft: Draft, reader: Op, wide: str, narrow: str) -> None:
    draft.read_instead(reader, wide, narrow)


def _widen_after(draft: Draft, view: Op, wide: str, narrow: str) -> None:
    """``view(cast(x))`` becomes ``cast(view(x))``; a cast or a window just reads the narrow one."""
    out = view.outputs[0]
    result = draft.tensors[out.tensor]
    dims = plain_dims(out, result, view.axes)
    if result.dtype != draft.dtype(wide) or dims is None or is_identity(view, draft.tensors):
        draft.read_instead(view, wide, narrow)
        return
    dtype = draft.dtype(narrow)
    before = draft.new_tensor(f"{out.tensor}_{dtype.name}", replace(result, dtype=dtype))
    attrs = {**view.attrs, "dtype": dtype.name} if "dtype" in view.attrs else view.attrs
    moved = replace(
        view,
        name=draft.new_op_name(f"{view.name}_{dtype.name}"),
        inputs=tuple(replace(o, tensor=narrow) if o.tensor == wide else o for o in view.operands),
        outputs=(replace(out, tensor=before),),
        attrs=attrs,
    )
    draft.add(moved, before=view.name)
    attrs = {"dtype": result.dtype.name}
    draft.replace(replace(view, kind="copy", inputs=(replace(out, tensor=before),), attrs=attrs))


_WIDE_READERS = {
    Family.ELEMENTWISE: _read_narrow,
    Family.COMPOSITE: _read_narrow,
    Family.REDUCE: _read_narrow,
    Family.COPY: _widen_after,
    Family.CONTRACT: _keep_wide,
    Family.ROW: _read_narrow,
    Family.RESHAPE: _keep_wide,
    Family.GATHER: _widen_after,
    Family.SCATTER: _keep_wide,
    Family.COLLECTIVE: _keep_wide,
}


_MOVED_AS_IS = (Family.RESHAPE, Family.GATHER, Family.SCATTER, Family.COLLECTIVE)
"""Ops that move elements and cannot round them."""


def absorb_narrowing(draft: Draft) -> None:
    """Let the producer of a tensor that is only read to be narrowed write the narrow type itself.

    The tensor takes the name of the cast's result, unless only the source has one. Views between
    the producer and the cast become narrow too; at a tensor with other readers the view after it
    does the rounding.
    """
    for op in draft:
        if not is_cast(op, draft, narrows):
            continue
        source, result = op.operands[0].tensor, op.outputs[0].tensor
        dtype = draft.dtype(result)
        if _retype_chain(draft, source, dtype, (op.name,)):
            draft.remove(op.name)
            draft.unite(result, source)


def _retype_chain(draft: Draft, tensor: str, dtype: DType, readers: tuple[str, ...]) -> bool:
    """Make a tensor narrow if it is read by the given ops only and its writers can round."""
    writers = draft.writers(tensor)
    families = [draft.family(w) for w in writers]
    readable = all(r.name in readers for r in draft.readers(tensor))
    fixed = draft.is_fixed(tensor) or any(f in _MOVED_AS_IS for f in families)
    if fixed or not writers or not readable:
        return False
    before = draft.dtype(tensor)
    draft.retype(tensor, dtype)
    names = tuple(w.name for w in writers)
    views = [w for w, f in zip(writers, families, strict=True) if f is Family.COPY]
    for view in views:
        source = view.operands[0].tensor
        if draft.dtype(source) == before:
            _retype_chain(draft, source, dtype, names)
    return True
