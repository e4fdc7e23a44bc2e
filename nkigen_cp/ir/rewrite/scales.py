"""Row factors pass behind contractions: ``(x * r) @ v`` becomes ``(x @ v) * r``.

A factor per row costs a pass over all of ``x``; behind the contraction, the instruction that evicts
PSUM multiplies by it at no cost. So a softmax is normalised after its product with the values.

**Rounding.** The contraction stays in float32 until the factor is multiplied and the result is
rounded, once. What it reads is ``x`` as it is: one rounding less than in the graph. Where ``x``
would first have to be cast, that cast is a pass as well, and nothing moves.

**Overflow.** What is scaled at last is ``1 / r`` times the result. Only factors that follow from a
reduction of ``x`` move, so ``x`` has been summed (compared, squared) in float32 on the way to its
factor. For a softmax below its row maximum the sum is at most the number of keys times the largest
value, for a root mean square at most the inner products of an ``x`` of less than 2**64. Elsewhere
it overflows only where the sum of ``x`` times the largest value does.

**Rows without a finite factor.** A factor scales the row that it scaled before and no other. A
row of zeros under an infinite factor is NaN on either side of the contraction, as is one with an
infinity under the factor 0; NaN stays NaN. Where a sum of other numbers is 0, the row is infinite
or NaN as before, if not always the same of the two. Where a sum of finite numbers overflows, the
factor is 0: the row is still 0, or NaN if its contraction overflows too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import align, normal, plain_dims, renumber, substitute
from nkigen_cp.ir.rewrite.rows import axes_of, full_and_row, sole_reader
from nkigen_cp.ir.tensor.graph import Axis, Op, Operand, Tensor
from nkigen_cp.ir.tensor.table import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaled:
    """``full * row``, over the axes of the contraction that reads the product."""

    full: Operand
    row: Operand


def scale_after_contractions(draft: Draft) -> None:
    """Move factors per row from an operand of a contraction to its result.

    Only where that saves work: nobody else reads the product, the result is smaller than it (of
    equal sizes, scaling the operand leaves the result free to lie either way), and the contraction
    can read what is left as it is.
    """
    for op in draft:
        for side in (0, 1) if draft.family(op) is Family.CONTRACT else ():
            scaled = _scaled(draft, op, side)
            if scaled is not None:
                _move(draft, op, side, scaled)
                break  # the factor of the other operand moves in the next round


def _scaled(draft: Draft, op: Op, side: int) -> _Scaled | None:
    """The factor that one operand of a contraction has and may lose."""
    read, inner = _unturned(draft, op, side)
    if inner is None or inner.kind != "multiply":
        return None
    product = _held(draft, read)
    by = align(inner, product, read, _box(op, read))
    if by is None or not _is_smaller(draft, op, product):
        return None
    for inputs in (inner.inputs, inner.inputs[::-1]):
        found = full_and_row(draft, inner, inputs)
        if found is None or plain_dims(found[0], _held(draft, found[0]), inner.axes) is None:
            continue
        full, row = (replace(o, index=substitute(o.index, by)) for o in found)
        scaled = _Scaled(full=full, row=row)
        if _may_move(draft, op, scaled, product.dtype):
            return scaled
    return None


def _unturned(draft: Draft, op: Op, side: int) -> tuple[Operand, Op | None]:
    """What a contraction reads, through transposed views of it, and the op that computes that.

    No op where others read it too.
    """
    read, reader = op.operands[side], op
    while True:
        writer = draft.producer(read.tensor)
        if writer is None or sole_reader(draft, writer) != reader:
            return read, None
        if draft.family(writer) is not Family.COPY:
            return read, writer
        by = align(writer, _held(draft, read), read, _box(op, read))
        (source,) = writer.operands
        if by is None or draft.dtype(source.tensor) != draft.dtype(read.tensor):
            return read, None
        read, reader = replace(source, index=substitute(source.index, by)), writer


def _is_smaller(draft: Draft, op: Op, product: Tensor) -> bool:
    """Whether a contraction yields floats that are fewer than those of the product."""
    written = _written(draft, op)
    return written is not None and written.dtype.is_float and written.size < product.size


def _written(draft: Draft, op: Op) -> Tensor | None:
    """What an op writes, a whole tensor or one window of it, as a tensor by itself.

    None where that is anything else, as a diagonal.
    """
    (out,) = op.outputs
    result = _held(draft, out)
    index = normal(out.index, op.axes)
    live = [d.terms[0].axis for d in index if d.terms]
    plain = all(len(d.terms) < 2 and all(t.stride == 1 for t in d.terms) for d in index)
    if not plain or len(set(live)) < len(live):
        return None
    return replace(
        result, shape=tuple(op.axes[d.terms[0].axis].size if d.terms else 1 for d in index)
    )


def _held(draft: Draft, operand: Operand) -> Tensor:
    return draft.tensors[operand.tensor]


def _box(op: Op, read: Operand) -> list[Axis]:
    """The axes of a contraction that one of its operands varies along; the others have size 1."""
    seen = axes_of(op, read)
    return [a if n in seen else replace(a, size=1) for n, a in enumerate(op.axes)]


def _may_move(draft: Draft, op: Op, scaled: _Scaled, product: DType) -> bool:
    """Whether the row is no factor of a reduced axis, normalises, and leaves the dtype alone."""
    reduced = any(op.axes[n].reduced for n in axes_of(op, scaled.row))
    same = draft.dtype(scaled.full.tensor) == product
    return same and not reduced and _normalises(draft, scaled.row.tensor, scaled.full.tensor)


_FOLLOWED = (Family.ELEMENTWISE, Family.COPY, Family.REDUCE)


def _normalises(draft: Draft, row: str, full: str) -> bool:
    """Whether a row follows from a reduction of the tensor that it scales."""
    todo, seen = [(row, False)], dict[tuple[str, bool], None]()
    while todo:
        place = tensor, reduced = todo.pop()
        if place == (full, True):
            return True
        if place in seen:
            continue
        seen[place] = None
        for writer in draft.writers(tensor):
            family = draft.family(writer)
            if family in _FOLLOWED:
                reduces = reduced or family is Family.REDUCE
                todo += [(o.tensor, reduces) for o in writer.operands]
    return False


def _move(draft: Draft, op: Op, side: int, scaled: _Scaled) -> None:
    """Let the contraction read the operand without its factor, and multiply its result by it."""
    (out,) = op.outputs
    like = _written(draft, op)
    assert like is not None  # as for every factor that was found
    tensor = draft.new_tensor(f"{out.tensor}_unscaled", replace(like, dtype=FLOAT32))
    unscaled = Operand(tensor=tensor, index=tuple(replace(d, offset=0) for d in out.index))
    kept = [n for n, a in enumerate(op.axes) if not a.reduced]
    numbers = {old: new for new, old in enumerate(kept)}
    row = replace(scaled.row, index=normal(scaled.row.index, op.axes))
    written = renumber(out, numbers)
    assert isinstance(written, Operand)
    product = Op(
        name=draft.new_op_name(f"{op.name}_scaled"),
        kind="multiply",
        axes=tuple(op.axes[n] for n in kept),
        inputs=(renumber(unscaled, numbers), renumber(row, numbers)),
        outputs=(written,),
        source=op.source,
    )
    inputs = tuple(scaled.full if n == side else i for n, i in enumerate(op.inputs))
    draft.add(product, before=op.name)
    draft.remove(op.name)
    draft.add(replace(op, inputs=inputs, outputs=(unscaled,)), before=product.name)
