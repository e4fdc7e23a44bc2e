"""Everything a plan names exists, and every step reads and writes the slots of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nkigen_cp.ir.collectives import COLLECTIVES
from nkigen_cp.ir.factor.program import Access
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.ir.nki.table import Role
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.uses import SLOTS
from nkigen_cp.solver.plan import (
    CHUNK,
    Contract,
    Elementwise,
    Exchange,
    Form,
    Gather,
    Generate,
    Reinterpret,
    Run,
    Scatter,
    Step,
    Store,
    Tiled,
)


def forms(facts: Facts) -> Iterator[str]:
    """Form names are unique; each holds a tensor of the program in a layout of its factors."""
    if len(facts.forms) != len(facts.plan.forms):
        yield "two forms share a name"
    for form in facts.plan.forms:
        if form.tensor not in facts.program.tensors:
            yield f"form {form.name!r} holds unknown tensor {form.tensor!r}"
        elif form.layout is None:
            homes = [f"{form.tensor}@hbm"]
            if form.tensor in facts.program.outputs:
                homes.append(f"{form.tensor}@spill")
            if form.name not in homes:
                yield f"form {form.name!r} is not an HBM home of {form.tensor!r}"
        else:
            yield from _layout(facts, form)


def _layout(facts: Facts, form: Form) -> Iterator[str]:
    layout = form.layout
    assert layout is not None
    size = {f.name: f.size for f in facts.held(form.name).factors}
    yield from _fixed(facts, form, size)
    for fixed in layout.fixed:
        size.pop(fixed.factor, 0)
    named = set(layout.partition)
    if len(named) < len(layout.partition) or not named <= set(size):
        yield f"form {form.name!r} puts {layout} on the partitions, not some of {[*size]}"
    elif layout.free and sorted(layout.free) != sorted(set(size) - named):
        yield f"form {form.name!r} orders {layout.free}, not its free factors"
    elif layout.partition and (layout.replicas != 1 or not 1 <= layout.block <= _outer(form, size)):
        yield f"form {form.name!r} has no legal block: {layout}"
    elif not layout.partition and (layout.block or layout.replicas < 1):
        yield f"form {form.name!r} has block {layout.block} and {layout.replicas} replicas"


def _fixed(facts: Facts, form: Form, size: dict[str, int]) -> Iterator[str]:
    """What is held at one position at a time follows a loop of the form's home."""
    layout = form.layout
    assert layout is not None
    where = f"form {form.name!r}"
    unknown = [k for k in layout.home if k not in facts.loops]
    if unknown:
        yield f"{where} lives in unknown loop {unknown[0]!r}"
        return
    if len({f.factor for f in layout.fixed}) < len(layout.fixed):
        yield f"{where} fixes a factor twice"
    for f in layout.fixed:
        if f.factor not in size or f.loop not in layout.home:
            yield f"{where} fixes {f.factor!r} by loop {f.loop!r}, of its home {layout.home}"
        elif f.offset < 0 or f.offset + f.step * (facts.trips([f.loop]) - 1) >= size[f.factor]:
            yield f"{where} leaves factor {f.factor!r} of {size[f.factor]} positions by {f}"


def _outer(form: Form, size: dict[str, int]) -> int:
    assert form.layout is not None
    return size[form.layout.partition[0]]


def steps(facts: Facts) -> Iterator[str]:
    """Steps carry their position; what they name exists."""
    for position, step in enumerate(facts.plan.steps):
        if step.group != position:
            yield f"step {step.name!r} at position {position} says {step.group}"
        for use in (*step.reads, *step.writes):
            if use.form not in facts.forms:
                yield f"step {step.name!r} uses unknown form {use.form!r}"
        yield from (f"step {step.name!r}: {problem}" for problem in _spec(facts, step))


def _spec(facts: Facts, step: Step) -> Iterator[str]:
    spec = step.spec
    ops, tensors = facts.program.ops, facts.program.tensors
    if isinstance(spec, Elementwise):
        if not spec.cover.ops or spec.cover.root not in ops:
            yield f"covers unknown ops {spec.cover.ops}"
        else:
            yield from _cover(facts, spec, tuple(d.name for d in ops[spec.cover.root].digits))
    elif isinstance(spec, (Contract, Reinterpret, Exchange, Gather, Scatter)):
        kinds = _KINDS[type(spec)]
        if spec.op not in ops or ops[spec.op].kind not in kinds:
            yield f"{spec.op!r} is no {' or '.join(kinds)} of the program"
        elif isinstance(spec, Contract):
            yield from _contract(facts, spec)
    elif isinstance(spec, Store):
        for access in (spec.source, spec.target):
            yield from _access(facts, access, tuple(spec.digits))
    elif isinstance(spec, Generate) and spec.tensor not in facts.program.constants:
        yield f"{spec.tensor!r} is no constant"
    elif spec.tensor not in tensors:
        yield f"unknown tensor {spec.tensor!r}"


_KINDS: Mapping[type, tuple[str, ...]] = {
    Contract: ("contract",),
    Reinterpret: ("reshape",),
    Exchange: tuple(COLLECTIVES),
    Gather: ("gather",),
    Scatter: ("scatter",),
}
"""The kinds of op that a step of one op is for."""


def _cover(facts: Facts, spec: Elementwise, digits: Sequence[str]) -> Iterator[str]:
    cover = spec.cover
    row = COVERING.get(cover.instruction)
    if row is None:
        yield f"unknown instruction {cover.instruction!r}"
        return
    for name in (*(s.name for s in (*cover.reads, *cover.writes)), *cover.params):
        if row.parameter(name) is None:
            yield f"{cover.instruction} has no parameter {name!r}"
    given = [*(s.name for s in (*cover.reads, *cover.writes)), *cover.params]
    if len(set(given)) < len(given):
        yield f"{cover.instruction} is given a parameter twice"
    # The number of reduced dims follows from the view.
    needed = [p.name for p in row.parameters if p.required and p.role is not Role.INTEGER]
    if not set(needed) <= set(given):
        yield f"{cover.instruction} lacks one of {', '.join(needed)}"
    for slot in (*cover.reads, *cover.writes):
        yield from _access(facts, slot.access, digits)
    unknown = [o for o in cover.ops if o not in facts.program.ops]
    unknown += [t for t in cover.internal if t not in facts.program.tensors]
    unknown += [d for d in (*spec.loops, *cover.reduced, *cover.made) if d not in (*digits, CHUNK)]
    if unknown:
        yield f"unknown name {unknown[0]!r}"
    yield from _run(facts, spec.run, cover.root if not unknown else "", digits)


def _contract(facts: Facts, spec: Contract) -> Iterator[str]:
    op = facts.program.ops[spec.op]
    digits = tuple(d.name for d in op.digits)
    yield from _cover(facts, spec.epilogue, digits)
    tiles: tuple[Tiled, ...] = (*spec.moving, *spec.items)
    named = (*(t.digit for t in tiles), *spec.loops, *spec.accumulate)
    unknown = [d for d in named if d not in digits]
    if unknown or spec.stationary not in ("lhs", "rhs"):
        yield f"unknown name {[*unknown, spec.stationary][0]!r}"
        return
    for run in (spec.m_run, spec.k_run):
        yield from _run(facts, run, spec.op, digits)
    for tile in tiles:
        if not 1 <= tile.block <= op.size(tile.digit):
            yield f"tile of {tile.block} along {tile.digit}"
    stream = spec.stream
    if stream is not None and (
        stream.digit not in digits
        or stream.slot not in ("stationary", "moving")
        or not 1 <= stream.block <= op.size(stream.digit)
        or stream.copies < 1
    ):
        yield f"no such stream: {stream}"


def _run(facts: Facts, run: Run, root: str, digits: Sequence[str]) -> Iterator[str]:
    if not run.digits:
        if run.partitions != 1 or run.block:
            yield f"an empty run has {run.partitions} partitions"
        return
    if not set(run.digits) <= set(digits) or len(set(run.digits)) < len(run.digits):
        yield f"unknown partition digits {run.digits}"
    elif run.block < 1 or run.partitions % run.block:
        yield f"run of {run.partitions} partitions in blocks of {run.block}"


def _access(facts: Facts, access: Access, digits: Sequence[str]) -> Iterator[str]:
    tensor = facts.program.tensors.get(access.tensor)
    if tensor is None:
        yield f"unknown tensor {access.tensor!r}"
    elif len(tensor.factors) != len(access.index):
        yield f"addresses {len(access.index)} factors of {access.tensor!r}"
    elif not set(access.digits) <= set(digits):
        yield f"addresses {access.tensor!r} by unknown digits {access.digits}"


def slots(facts: Facts) -> Iterator[str]:
    """A step reads and writes exactly the slots of its kind, through forms of the right tensors."""
    for step in facts.plan.steps:
        reads, writes = _wanted(facts, step)
        for what, uses, wanted in (("reads", step.reads, reads), ("writes", step.writes, writes)):
            got = sorted((u.slot, facts.forms[u.form].tensor) for u in uses)
            if got != sorted(wanted):
                yield f"step {step.name!r} {what} {got}, its kind demands {sorted(wanted)}"


Slots = list[tuple[str, str]]


def _wanted(facts: Facts, step: Step) -> tuple[Slots, Slots]:
    """(slot, tensor) of what a step of this kind must read and write."""
    spec = step.spec
    if isinstance(spec, Elementwise):
        cover = spec.cover
        reads = [(s.name, s.access.tensor) for s in cover.reads]
        made = [(s.name, s.access.tensor) for s in cover.writes]
        return reads, [w for w in made if w[1] not in cover.internal]
    if isinstance(spec, Contract):
        op, cover = facts.program.ops[spec.op], spec.epilogue.cover
        sides = op.accesses if spec.stationary == "lhs" else op.accesses[::-1]
        names = ("stationary", "moving")
        reads = [(n, a.tensor) for n, a in zip(names, sides, strict=True)]
        reads += [
            (s.name, s.access.tensor) for s in cover.reads if s.access.tensor != op.output.tensor
        ]
        return reads, [(s.name, s.access.tensor) for s in cover.writes]
    if isinstance(spec, Store):
        return [("src", spec.source.tensor)], [("dst", spec.target.tensor)]
    if isinstance(spec, (Reinterpret, Exchange, Gather, Scatter)):
        op = facts.program.ops[spec.op]
        reads = [(s, a.tensor) for s, a in zip(SLOTS[type(spec)], op.accesses, strict=True)]
        return reads, [("dst", op.output.tensor)]
    moved = [("dst", spec.tensor)]
    return ([] if isinstance(spec, Generate) else [("src", spec.tensor)]), moved
