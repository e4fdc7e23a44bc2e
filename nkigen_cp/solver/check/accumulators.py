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
            if not partial:
                continue
            where = f"step {step.name!r}: op {name!r}"
            after = _accumulator(facts, step, op)
            if after is None:
                yield f"{where} has partial results in loop {partial[0]!r}, which nothing adds up"
            elif after.layout is not None and set(partial) & set(after.layout.home):
                yield f"{where} starts again in every iteration of {after.layout.home}"


def _accumulator(facts: Facts, step: Step, op: FactorOp) -> Form | None:
    """The form in which the step puts the op's result over its value before the iteration."""
    written = [facts.forms[u.form] for u in step.writes]
    read = [facts.forms[u.form] for u in step.reads]
    return next(
        (
            after
            for after in written
            for before in read
            if after.tensor == op.output.tensor
            and after.over == before.name
            and before.tensor in [a.tensor for a in op.accesses]
        ),
        None,
    )
