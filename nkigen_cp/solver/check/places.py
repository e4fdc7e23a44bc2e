"""Forms in the place of others: results over operands that die, accumulators over themselves."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.solver.check.facts import Covered, Facts, covers
from nkigen_cp.solver.check.geometry import shape_of
from nkigen_cp.solver.check.instructions import slot_order, slot_strides
from nkigen_cp.solver.check.uses import ops_of
from nkigen_cp.solver.plan import Form, Slot, Step, Use


def taken_over(facts: Facts) -> Iterator[str]:
    """A form over another is written element by element where that one is read for the last time.

    What an accumulator was before an iteration is read by nothing but what adds to it.
    """
    seen: dict[str, str] = {}
    for form in facts.plan.forms:
        if form.over is None or form.layout is None:
            continue  # what lies in HBM has rules of its own
        where = f"form {form.name!r} takes the place of {form.over!r}"
        before = facts.forms.get(form.over)
        if before is None:
            yield f"{where}, which does not exist"
            continue
        yield from (f"{where}, {problem}" for problem in _problems(facts, form, before))
        if form.over in seen:
            yield f"{where}, as {seen[form.over]!r} does"
        seen[form.over] = form.name


def _problems(facts: Facts, form: Form, before: Form) -> Iterator[str]:
    old, new = before.layout, form.layout
    if old is None or new is None or (old.home, before.copies) != (new.home, form.copies):
        yield "which lives elsewhere"
        return
    if facts.held(before.name).dtype != facts.held(form.name).dtype:
        yield "which holds elements of another kind"
    writers = [s for s in facts.plan.steps if _uses(s.writes, form)]
    readers = [s for s in facts.plan.steps if _uses(s.reads, before)]
    if len(writers) != 1 or writers[0] not in readers:
        yield f"which no single step of {[s.name for s in writers]} reads and writes"
        return
    (step,) = writers
    adds = facts.program.carried.get(before.tensor) == form.tensor
    late = [s.name for s in readers if s is not step and (adds or s.group > step.group)]
    late += [s.name for s in facts.plan.steps if _uses(s.writes, before) and s.group > step.group]
    if late:
        yield f"which {late[0]!r} still needs"
    if not adds and step.path != new.home:
        yield f"of which iterations of {step.path[len(new.home) :]} still need other parts"
    if not _in_place(facts, step, form, before):
        yield f"of which step {step.name!r} reads other elements than it writes"


def _uses(uses: tuple[Use, ...], form: Form) -> bool:
    return any(u.form == form.name for u in uses)


def _in_place(facts: Facts, step: Step, form: Form, before: Form) -> bool:
    """Whether every operand in the old form is addressed exactly as the result in the new one."""
    c = next((c for c in covers(facts) if c.step is step), None)
    if c is None:
        return False
    slots = {s.name: s for s in (*c.cover.reads, *c.cover.writes)}
    reads = [slots.get(u.slot) for u in step.reads if u.form == before.name]
    writes = [slots.get(u.slot) for u in step.writes if u.form == form.name]
    patterns = [_addresses(facts, c, s) if s is not None else None for s in (*reads, *writes)]
    return patterns[0] is not None and all(p == patterns[0] for p in patterns)


def _addresses(facts: Facts, c: Covered, slot: Slot) -> object:
    """Where an operand's elements lie: per digit, per loop, from where on; None of a column."""
    name = c.form(slot.name)
    layout = facts.forms[name].layout if name is not None else None
    if slot.column or layout is None:
        return None
    strides = slot_strides(facts, c, slot)
    tensor = facts.tensor(slot.access.tensor)
    shape = shape_of(tensor, layout)
    at = dict(zip((f.name for f in tensor.factors), slot.access.index, strict=True))
    free = [(at[n], step) for n, step in shape.strides.items()]
    return (
        [(d, strides.get(d, 0)) for d in slot_order(c, slot)],
        sum(i.offset * step for i, step in free),
        sorted((i.loop, i.step * step) for i, step in free if i.loop is not None),
        [(at[n].digit, at[n].loop, at[n].offset) for n in layout.partition],
        (layout.block, layout.replicas, shape.bytes),
    )


def reductions(facts: Facts) -> Iterator[str]:
    """What an iteration reduces is all there is, or is added to an accumulator outside the loop."""
    for step in facts.plan.steps:
        for name in ops_of(step):
            op = facts.program.ops[name]
            partial = [k for k in op.path if k not in op.output.loops]
            if partial and not _adds_up(facts, step, op):
                where = f"step {step.name!r}: op {name!r}"
                yield f"{where} has partial results in loop {partial[0]!r}, which nothing adds up"


def _adds_up(facts: Facts, step: Step, op: FactorOp) -> bool:
    """Whether the step puts the op's result over the value that it had before the iteration."""
    carried = facts.program.carried
    sources = [a.tensor for a in op.accesses if carried.get(a.tensor) == op.output.tensor]
    read = [u.form for u in step.reads if facts.forms[u.form].tensor in sources]
    written = [facts.forms[u.form] for u in step.writes]
    return any(f.tensor == op.output.tensor and f.over in read for f in written)
