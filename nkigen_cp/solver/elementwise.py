"""Candidates of covers outside contractions: partition run, loops, engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import (
    Box,
    Held,
    box_busy_ns,
    form_extents,
    needs_loops,
    runs,
    whole_box,
)
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.covers import covers_of
from nkigen_cp.solver.functions_of_rows import row_scratch_bytes
from nkigen_cp.solver.pieces import piece_layouts
from nkigen_cp.solver.plan import CHUNK, Cover, Elementwise, Slot, box_order
from nkigen_cp.solver.plan.layout import Layout, Run, operand_layout, partition_bytes
from nkigen_cp.targets.target import Target

SPLIT_ELEMENTS = 1024
"""Elements per partition above which an instruction is split, so that the next engine starts early.

An engine does about one per nanosecond; another one starts 430 ns behind the piece it needs."""

PIECE_ELEMENTS = 512
"""Elements per partition that a piece has at least: its fixed 60 to 220 ns must stay small."""


def elementwise_candidates(context: Context, op: FactorOp) -> list[Candidate]:
    """All candidates rooted at ``op`` that are one elementwise or reducing instruction."""
    found: list[Candidate] = []
    for cover in covers_of(context.program, op):
        for run in runs(op, context.target, context.tiles):
            found += _with_run(context, cover, run)
    return found


def able_engines(target: Target, cover: Cover) -> list[str]:
    """Engines of the cover whose ALU has all of its operators."""
    operators = [v for k, v in cover.params.items() if k in ("op", "op0", "op1", "reduce_op")]
    if cover.instruction == "activation":
        return list(cover.engines)
    return [e for e in cover.engines if all(o in target.alu_ops[e] for o in operators)]


def slot_layouts(context: Context, cover: Cover, run: Run) -> dict[str, Layout] | None:
    """Layout of every slot for a run, or None if some operand cannot be read or written so."""
    program = context.program
    layouts: dict[str, Layout] = {}
    for slot in (*cover.reads, *cover.writes):
        layout = operand_layout(program.tensors[slot.access.tensor], slot.access, run)
        if layout is None:
            return None
        layouts[slot.name] = layout
    for slot in cover.writes:
        shared = piece_layouts(context, slot.access.tensor)
        if shared is not None and layouts[slot.name] not in shared:
            return None
        if run.digits and not layouts[slot.name].partition:
            return None
    return layouts


def column_loops(domain: FactorOp, cover: Cover, run: Run, order: tuple[str, ...]) -> set[str]:
    """Free digits along which a column operand varies, so that each needs its own instruction.

    ``domain`` is the op in whose digits the cover is.
    """
    chunked = bool(run.digits) and domain.size(run.digits[0]) > run.block
    looped: set[str] = set()
    for slot in (*cover.reads, *cover.writes):
        if slot.column:
            looped |= {d for d in slot.access.digits if d in order}
            along_run = any(d in slot.access.digits for d in run.digits)
            if chunked and (along_run or slot.name == "reduce_res"):
                looped.add(CHUNK)
    return looped


def split_digits(box: Box, reduced: Sequence[str]) -> tuple[str, ...]:
    """The outermost free digits to loop as well, so that steps in a row work on pieces at once.

    As long as an instruction has more than ``SPLIT_ELEMENTS`` and its pieces ``PIECE_ELEMENTS``.
    """
    sizes = {d: box.sizes[d][0].extent for d in box.order if d not in box.looped}
    left = math.prod(sizes.values())
    found: list[str] = []
    for digit, size in sizes.items():
        if digit in reduced or left <= SPLIT_ELEMENTS or left // size < PIECE_ELEMENTS:
            break
        if size > 1:
            found.append(digit)
        left //= size
    return tuple(found)


def blocks_of(op: FactorOp, run: Run) -> list[str]:
    """Digits that count blocks of the axis whose innermost part lies on the partitions.

    In a nest every step takes one such block after the other, however small, so that the next
    engine can start on the first while the last is not yet done.
    """
    if not run.digits:
        return []
    axis = run.digits[0].rpartition(".")[0]
    same = [d.name for d in op.parallel if axis and d.name.rpartition(".")[0] == axis]
    return [d for d in same if d not in run.digits]


def held_slots(
    context: Context, cover: Cover, run: Run, layouts: dict[str, Layout], order: tuple[str, ...]
) -> list[Held]:
    """Every slot as held in SBUF in its layout."""
    return [_held(context.program, s, run, layouts[s.name], order) for s in _slots(cover)]


def _slots(cover: Cover) -> tuple[Slot, ...]:
    return (*cover.reads, *cover.writes)


def _held(program: Program, slot: Slot, run: Run, layout: Layout, order: tuple[str, ...]) -> Held:
    tensor = program.tensors[slot.access.tensor]
    strides = form_extents(tensor, layout, slot.access, run, order)
    return Held(slot=slot, tensor=tensor, memory=Memory.SBUF, strides=strides)


def _with_run(context: Context, cover: Cover, run: Run) -> list[Candidate]:
    program, target = context.program, context.target
    layouts = slot_layouts(context, cover, run)
    if layouts is None:
        return []
    root = program.ops[cover.root]
    order = box_order(program, cover, run)
    columns = column_loops(root, cover, run, order)
    rows = (*cover.made, *cover.reduced)
    if cover.made:  # one row per partition at a time
        columns |= {d for d in order if d not in rows}
    if columns & set(rows):
        return []
    looped = tuple(d for d in order if d in columns)
    held = held_slots(context, cover, run, layouts, order)
    boxes = whole_box(root, run, order, looped)
    extra = needs_loops(held, boxes[0], target.access_free_dims_max)
    if set(extra) & set(rows):
        return []
    looped = tuple(d for d in order if d in looped or d in extra)
    pieces = split_digits(replace(boxes[0], looped=looped), rows)
    if root.path:
        pieces = (*pieces, *(d for d in blocks_of(root, run) if d in order and d not in pieces))
    looped = tuple(d for d in order if d in looped or d in pieces)
    boxes = [replace(b, looped=looped) for b in boxes]
    scratch = sum(
        partition_bytes(program.tensors[s.access.tensor], layouts[s.name])
        for s in cover.writes
        if s.access.tensor in cover.internal
    )
    scratch += row_scratch_bytes(root, cover)
    found: list[Candidate] = []
    for engine in able_engines(target, cover):
        busy = sum(box_busy_ns(target, cover, engine, held, b)[0] for b in boxes)
        found.append(
            Candidate(
                ops=cover.ops,
                spec=Elementwise(cover=cover, run=run, loops=looped, engine=engine),
                needs=_needs(cover.reads, layouts, ()),
                makes=_needs(cover.writes, layouts, cover.internal),
                busy_ns=rounded({engine: busy}),
                sbuf_bytes=scratch,
            )
        )
    return found


def _needs(
    slots: tuple[Slot, ...], layouts: dict[str, Layout], internal: tuple[str, ...]
) -> tuple[Need, ...]:
    return tuple(
        Need(slot=s.name, tensor=s.access.tensor, layout=layouts[s.name])
        for s in slots
        if s.access.tensor not in internal
    )
