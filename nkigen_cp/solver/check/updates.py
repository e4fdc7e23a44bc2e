"""Inputs updated in place: what reads the old value comes before, the new one's readers behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nkigen_cp.solver.check.delays import first_there
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.plan import Form, Scatter, Step


def in_order(facts: Facts) -> Iterator[str]:
    """An update is stored after every read of the old value and before every one of the new."""
    for new, name in facts.program.updated.items():
        old = [w for w, of in facts.program.windows.items() if of.base == name]
        seen = [w for w, of in facts.program.windows.items() if of.base == new]
        pieces = [p for p, of in facts.program.pieces.items() if of.base == new]
        before = _users(facts, (name, *old), reading=True)
        stores = _users(facts, pieces, reading=False)
        after = _users(facts, (new, *seen), reading=True)
        for store in stores:
            for reader in before:
                if reader is store and isinstance(store.spec, Scatter):
                    continue  # what it leaves out stays
                if reader is store:
                    yield f"step {store.name!r} moves elements of {name!r} within it"
                elif reader.group > store.group or _together(reader, store):
                    yield f"step {reader.name!r} reads {name!r} when {store.name!r} has changed it"
            for reader in after:
                if reader.group < store.group or _together(reader, store):
                    yield f"step {reader.name!r} reads {new!r} before {store.name!r} has stored it"


def one_place(facts: Facts) -> Iterator[str]:
    """What is in HBM lies over other forms exactly where an input is updated."""
    updated = facts.program.updated
    first: dict[str, str] = {}
    for form in facts.plan.forms:
        if form.layout is not None:
            continue
        new = _place(facts, form)
        there = first_there(facts, form.name)
        expected = form.name if new is None else first.setdefault(new, there)
        if there != expected:
            yield f"form {form.name!r} lies at {there!r} in HBM, not at {expected!r}"
    kept = [first[new] for new in updated if new in first]
    if len(dict.fromkeys(kept)) < len(kept):
        yield "two updated inputs share a place in HBM"


def _place(facts: Facts, form: Form) -> str | None:
    """The updated value in whose place a form in HBM lies."""
    program = facts.program
    if form.name.endswith("@spill"):
        return None
    parts = {**program.windows, **program.pieces}
    base = parts[form.tensor].base if form.tensor in parts else form.tensor
    return next((new for new, name in program.updated.items() if base in (new, name)), None)


def _users(facts: Facts, tensors: Sequence[str], *, reading: bool) -> list[Step]:
    """The steps that read, or write, some tensors where they are in HBM."""
    names = [f"{t}@hbm" for t in tensors]
    uses = [(s, s.reads if reading else s.writes) for s in facts.plan.steps]
    return [step for step, found in uses if any(u.form in names for u in found)]


def _together(first: Step, second: Step) -> bool:
    """Whether an iteration of one comes behind an earlier one of the other."""
    return first.path[:1] == second.path[:1] != ()
