"""Reductions of what a contraction yields, staged so that one PSUM tile has all of a first stage.

A PSUM bank holds 512 float32 columns. A longer row arrives tile by tile, and the instruction that
evicts a tile can reduce no more than the tile: each leaves a partial result of its own, a column of
an ordinary tensor that the second stage reduces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.cuts import find_cuts
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.tensor.graph import Axis, Op, Operand, Term, identity_index
from nkigen_cp.ir.tensor.table import Family

TILE = 512
"""float32 columns of one PSUM bank; 2 KiB per partition on every NeuronCore."""

PARTITIONS = 128
"""Rows of SBUF and of PSUM on every NeuronCore."""

CHAIN_MAX = 3
"""Elementwise ops between a contraction and a reduction that one instruction may cover."""


def stage_tiled_reductions(draft: Draft) -> None:
    """Split every reduction of more than a tile of a contraction's columns.

    Left as they are: rows that no cut serves, and reductions whose stages would cut an axis where a
    reshape of the graph does not, or other contractions of the same operands, which do not need it.
    """
    contracted = {o.name: c for o in draft if (c := _evicted(draft, o)) is not None}
    splits = {name: _split(draft, draft.ops[name]) for name in contracted}
    staged = [contracted[name] for name, split in splits.items() if split is not None]
    for name, split in splits.items():
        op = draft.ops[name]
        if split is None or not _all_staged(draft, contracted[name], staged):
            continue
        if _nests(draft, op, split):
            _stage(draft, op, split)


def _all_staged(draft: Draft, contraction: Op, staged: Sequence[Op]) -> bool:
    """Whether every contraction of the same operands is evicted in stages.

    Others are windows of one attention, whose queries and keys may be one axis: that of the tokens.
    """
    return all(o in staged for o in draft if o.kind == contraction.kind and _alike(o, contraction))


def _alike(one: Op, other: Op) -> bool:
    return [o.tensor for o in one.operands] == [o.tensor for o in other.operands]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Axes reduced first as a whole, and one more of which ``block`` positions are."""

    whole: tuple[int, ...]
    axis: int
    block: int


def _evicted(draft: Draft, op: Op) -> Op | None:
    """The contraction whose tiles a reduction may take on their way out of PSUM."""
    if draft.family(op) is not Family.REDUCE:
        return None
    (tensor,) = (o.tensor for o in op.operands)
    chain = 0
    while (writer := draft.producer(tensor)) is not None and chain <= CHAIN_MAX:
        family = draft.family(writer)
        if family is Family.CONTRACT:
            return writer
        full = _full_operands(draft, writer)
        if family not in (Family.ELEMENTWISE, Family.COPY) or len(full) != 1:
            return None
        (tensor,) = full
        # Views are no instructions, and what is reduced may have other readers.
        chain += family is Family.ELEMENTWISE
        if chain and (len(draft.readers(tensor)) != 1 or draft.is_fixed(tensor)):
            return None
    return None


def _full_operands(draft: Draft, op: Op) -> list[str]:
    """Operands as large as the result; the others are rows, columns or numbers."""
    size = math.prod(a.size for a in op.axes)
    return [o.tensor for o in op.operands if draft.tensors[o.tensor].size == size]


def _split(draft: Draft, op: Op) -> _Split | None:
    """Innermost reduced axes while they fit a tile; None if they all do or the next has no part."""
    columns = 1
    whole: list[int] = []
    for axis in _innermost_first(op):
        size = op.axes[axis].size
        if columns * size > TILE:
            block = _block(size, columns)
            return _Split(whole=tuple(whole), axis=axis, block=block) if block else None
        whole.append(axis)
        columns *= size
    return None


def _block(size: int, columns: int) -> int:
    """The most positions of an axis, of so many columns each, for one tile; 0 where none will do.

    They divide the axis and fill half a tile. Where other ops put the axis on the partitions, the
    cut must not leave them more blocks.
    """

    def blocks(positions: int) -> int:
        return math.ceil(positions * columns / PARTITIONS)

    return max(
        (
            n
            for n in range(1, TILE // columns + 1)
            if size % n == 0
            and 2 * n * columns >= TILE
            and (n == 1 or size // n * blocks(n) == blocks(size))
        ),
        default=0,
    )


def _innermost_first(op: Op) -> Iterator[int]:
    (operand,) = op.operands
    for dim in reversed(operand.index):
        for term in sorted(dim.terms, key=lambda t: t.stride):
            if op.axes[term.axis].reduced and op.axes[term.axis].size > 1:
                yield term.axis


def _nests(draft: Draft, op: Op, split: _Split) -> bool:
    """Whether all that is a view without the stages is one with them."""
    before = draft.freeze()
    trial = Draft(before)
    _stage(trial, trial.ops[op.name], split)
    return find_cuts(trial.freeze()).opaque == find_cuts(before).opaque


def _stage(draft: Draft, op: Op, split: _Split) -> None:
    """The first stage leaves a partial result for every position that it does not reduce."""
    first = _first_stage(op, split)
    kept = [n for n, a in enumerate(first.axes) if not a.reduced and a.size > 1]
    result = op.outputs[0]
    like = draft.tensors[result.tensor]
    sums = op.kind == "sum" and like.dtype.is_float
    partial = draft.new_tensor(
        f"{result.tensor}_{op.kind}",
        replace(
            like,
            shape=tuple(first.axes[n].size for n in kept),
            axes=tuple(first.axes[n].name for n in kept),
            dtype=FLOAT32 if sums else like.dtype,
        ),
    )
    written = Operand(tensor=partial, index=identity_index(kept))
    name = draft.new_op_name(f"{op.name}_{op.kind}")
    draft.add(replace(first, name=name, outputs=(written,)), before=op.name)
    # What the first stage reduced as a whole has one position left, which no index map mentions.
    left = (
        replace(axis, size=first.axes[n].size if n in kept else 1) for n, axis in enumerate(op.axes)
    )
    draft.replace(replace(op, axes=tuple(left), inputs=(written,)))


def _first_stage(op: Op, split: _Split) -> Op:
    """The op with only the innermost positions reduced; the rest of the split axis keeps its place.

    The positions of one block are a new axis behind all others.
    """
    inner = len(op.axes)
    axes: list[Axis] = []
    for n, axis in enumerate(op.axes):
        if n == split.axis:
            axes.append(replace(axis, size=axis.size // split.block, reduced=False))
        else:
            axes.append(replace(axis, reduced=n in split.whole))
    axes.append(replace(op.axes[split.axis], size=split.block))
    (operand,) = op.operands
    index = tuple(
        replace(dim, terms=tuple(t for term in dim.terms for t in _cut(term, split, inner)))
        for dim in operand.index
    )
    return replace(op, axes=tuple(axes), inputs=(replace(operand, index=index),))


def _cut(term: Term, split: _Split, inner: int) -> tuple[Term, ...]:
    if term.axis != split.axis:
        return (term,)
    outer = replace(term, stride=term.stride * split.block)
    return (outer, Term(axis=inner, stride=term.stride))
