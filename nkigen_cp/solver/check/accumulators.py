"""Reductions over loops: each iteration adds its part to an accumulator that stays in its place."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.uses import ops_of
from nkigen_cp.solver.plan import Form, Step


def places(facts: Facts) -> Iterator[str]:
    """A form over another is what that one's value becomes, and lies exactly as it does."""
    for form in facts.plan.forms:
        if form.over is None:
            continue
        where = f"form {form.name!r} takes the place of {form.over!r}"
        before = facts.forms.get(form.over)
        if before is None:
            yield f"{where}, which does not exist"
        elif facts.program.carried.get(before.tensor) != form.tensor:
            yield f"{where}, which is no accumulator of it"
        elif form.layout is None or (form.layout, form.copies) != (before.layout, before.copies):
            yield f"{where}, which lies otherwise"
        else:
            readers = [s.name for s in facts.plan.steps if _reads(s, before)]
            writers = [s.name for s in facts.plan.steps if _writes(s, form)]
            if readers != writers:
                yield f"{where}, which {readers} read; {writers} write it"


def _reads(step: Step, form: Form) -> bool:
    return any(u.form == form.name for u in step.reads)


def _writes(step: Step, form: Form) -> bool:
    return any(u.form == form.name for u in step.writes)


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
    sources = [a.tensor for a in op.accesses]
    read = [u.form for u in step.reads if facts.forms[u.form].tensor in sources]
    written = [facts.forms[u.form] for u in step.writes]
    return any(f.tensor == op.output.tensor and f.over in read for f in written)
