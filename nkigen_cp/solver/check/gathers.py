"""Gathers: what lies on the partitions and is looped, where the operands are, what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.nki.cost import busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import (
    blocks,
    demanded,
    digit_strides,
    merged_dims,
    on_partitions,
    satisfies,
    shape_of,
)
from nkigen_cp.solver.check.price_dma import Priced, rows_of, store, tile, whole_steps
from nkigen_cp.solver.plan import CHUNK, Gather, Run, Step, Store, Tiled

WAYS = ("row", "block", "element")


def gathers(facts: Facts) -> Iterator[str]:
    """A gather puts the right digits on the partitions, and finds its operands there."""
    for step in facts.plan.steps:
        if isinstance(step.spec, Gather):
            op = facts.program.ops[step.spec.op]
            problems = [*_digits(facts, op, step.spec)] or [*_operands(facts, op, step)]
            yield from (f"step {step.name!r} {problem}" for problem in problems)


def _digits(facts: Facts, op: FactorOp, spec: Gather) -> Iterator[str]:
    """By row the index runs over the partitions, by block the table, by element both."""
    sizes = {d.name: d.size for d in op.digits}
    run, (table, index) = spec.run, (a.digits for a in op.accesses)
    if spec.by not in WAYS:
        yield f"gathers by {spec.by!r}, not by one of {WAYS}"
        return
    if not {*run.digits, *spec.loops} <= set(sizes) or len({*spec.loops}) < len(spec.loops):
        yield f"loops over {spec.loops} with {run.digits} on the partitions"
        return
    yield from on_partitions(run, sizes, facts.target)
    if not run.digits and spec.by == "row":
        yield "has no index on the partitions"
    sides = {"row": (False, True), "block": (True, False), "element": (True, True)}[spec.by]
    for digit in run.digits:
        if (digit in table, digit in index) != sides:
            yield f"has {digit} on the partitions, by which it cannot gather by {spec.by}"
    wanted = {d for d in index if d not in run.digits}
    if spec.by == "element":
        wanted = {d for d in table if d not in run.digits}
        if not wanted <= {*spec.loops} or {*spec.loops} & {*run.digits}:
            yield f"loops over {spec.loops}, its table moves along {sorted(wanted)}"
    elif wanted != {*spec.loops}:
        yield f"loops over {spec.loops}, its index moves along {sorted(wanted)}"


def _operands(facts: Facts, op: FactorOp, step: Step) -> Iterator[str]:
    spec = step.spec
    assert isinstance(spec, Gather)
    held = {u.slot: facts.forms[u.form].layout for u in (*step.reads, *step.writes)}
    table, index = op.accesses
    runs = {"dst": (op.output, spec.run), "index": (index, spec.run)}
    if spec.by == "block":
        runs["index"] = (index, Run())
    if spec.by == "element":
        runs["table"] = (table, spec.run)
        yield from _elements(facts, op, step)
    elif held["table"] is not None:
        yield f"reads its table as {held['table']}; it must be in HBM"
    for slot, (access, run) in runs.items():
        wanted, layout = demanded(facts.tensor(access.tensor), access, run), held[slot]
        if isinstance(wanted, str):
            yield f"cannot have {slot} so: {wanted}"
        elif layout is None or not satisfies(layout, wanted):
            yield f"has {slot} as {layout or 'HBM'}, its run demands {wanted}"
        elif run.digits and not wanted.partition:
            yield f"has no part of {slot} on each of {run.partitions} partitions"
    kind = facts.tensor(index.tensor).dtype
    if kind.name not in ("int32", "uint32"):
        yield f"takes {kind} as positions"


def _elements(facts: Facts, op: FactorOp, step: Step) -> Iterator[str]:
    """What one instruction reads has one stride, and no more dims than instructions have."""
    spec, table = step.spec, op.accesses[0]
    assert isinstance(spec, Gather)
    tensor = facts.tensor(table.tensor)
    place = next(k for k, i in enumerate(table.index) if i.picked)
    dims = {i.picked for i in table.index} - {0}
    if dims - {f.size for f in tensor.factors[place : place + 1]}:
        yield f"picks among {dims}, of which {tensor.factors[place].name} is only a factor"
    free = _free(op, spec)
    for slot, access in (("dst", op.output), ("index", op.accesses[1])):
        form = next(u.form for u in (*step.reads, *step.writes) if u.slot == slot)
        layout = facts.forms[form].layout
        if layout is None:
            continue
        shape = shape_of(facts.held(form), layout)
        strides = digit_strides(facts.held(form), access, shape, CHUNK)
        count = merged_dims([(op.size(d), strides.get(d, 0)) for d in free])
        if count > facts.target.access_free_dims_max:
            yield f"needs an access pattern of {count} free dims for {slot}"


def _free(op: FactorOp, spec: Gather) -> list[str]:
    return [d for d in op.output.digits if d not in (*spec.run.digits, *spec.loops)]


def priced(facts: Facts, step: Step) -> Priced:
    """All instructions of one iteration of a gather."""
    spec = step.spec
    assert isinstance(spec, Gather)
    op = facts.program.ops[spec.op]
    if spec.by == "block":
        yield from _blocks(facts, step, op, spec)
        return
    free = _free(op, spec)
    elements = math.prod(op.size(d) for d in free)
    inner = spec.run.partitions // (spec.run.block or 1)
    pieces = [(1, 1)]
    if spec.run.digits:
        pieces = [*blocks(op.size(spec.run.digits[0]), spec.run.block)]
    for extent, count in pieces:
        times = count * math.prod(op.size(d) for d in spec.loops)
        if spec.by == "element":
            dst = tile(Memory.SBUF, facts.tensor(op.output.tensor).dtype, extent * inner, elements)
            one = busy_ns(facts.target, "nc_n_gather", "gpsimd", {"dst": dst})
            yield "gpsimd", times * one
        else:
            yield "dma", times * _rows_ns(facts, step, op, free, extent * inner)


def _rows_ns(facts: Facts, step: Step, op: FactorOp, free: Sequence[str], partitions: int) -> float:
    """One DMA of a row per partition."""
    table = op.accesses[0]
    form = facts.forms[step.writes[0].form]
    assert form.layout is not None
    held, source = facts.tensor(form.tensor), facts.tensor(table.tensor)
    chip = digit_strides(held, op.output, shape_of(held, form.layout), CHUNK)
    steps = zip(table.index, whole_steps(source), strict=True)
    hbm = {i.digit: i.step * s for i, s in steps if i.digit is not None}
    sizes = [(d, op.size(d)) for d in free]
    row = rows_of(sizes, hbm, chip) * source.dtype.size_bytes
    elements = math.prod(n for _, n in sizes)
    sides = {
        name: replace(tile(memory, source.dtype, partitions, elements), run_bytes=row)
        for name, memory in (("dst", Memory.SBUF), ("src", Memory.HBM))
    }
    return busy_ns(facts.target, "dma_gather", "dma", sides)


def _blocks(facts: Facts, step: Step, op: FactorOp, spec: Gather) -> Priced:
    """A block costs what storing it from there would."""
    back = Store(
        source=op.output,
        target=op.accesses[0],
        digits={d.name: d.size for d in op.digits},
        op=op.name,
        loops=tuple(Tiled(digit=d, block=1) for d in spec.loops),
    )
    turned = replace(step, spec=back, reads=step.writes, writes=step.reads[:1])
    yield from store(facts, turned)
