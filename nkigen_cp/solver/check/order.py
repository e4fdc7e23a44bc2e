"""A form is complete before it is read, and lives exactly from its first to its last use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from nkigen_cp.ir.factor.program import Access
from nkigen_cp.solver.check.delays import crossing
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.uses import accesses_of, is_move, ops_of
from nkigen_cp.solver.plan import Contract, Elementwise, Exchange, Form, Reinterpret, Step, Store


def _writers(facts: Facts) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {f.name: [] for f in facts.plan.forms}
    for step in facts.plan.steps:
        for use in step.writes:
            found[use.form].append(step)
    return found


def complete(facts: Facts) -> Iterator[str]:
    """A form is written whole: by one move, or by every producer of its tensor once."""
    given = (*facts.program.given, *facts.program.windows, *facts.program.constants)
    for name, steps in _writers(facts).items():
        form = facts.forms[name]
        if form.layout is None and form.tensor in given:
            if steps:
                yield f"form {name!r} is an input and is written by step {steps[0].name!r}"
        elif not steps:
            yield f"form {name!r} is never written"
        elif form.layout is not None or form.tensor not in facts.program.outputs:
            yield from _whole(facts, form, steps)


def _whole(facts: Facts, form: Form, steps: list[Step]) -> Iterator[str]:
    computing = [s for s in steps if ops_of(s)]
    if not computing:
        if len(steps) > 1:
            yield f"form {form.name!r} is written by {len(steps)} moves"
        yield from _piecewise(facts, form, steps[0])
        return
    wanted = [o.name for o in facts.producers[form.tensor]]
    made = [
        o for s in computing for o in ops_of(s) if facts.program.ops[o].output.tensor == form.tensor
    ]
    if len(computing) < len(steps) or sorted(made) != sorted(wanted):
        yield f"form {form.name!r} is written by {made}, its producers are {wanted}"


def _piecewise(facts: Facts, form: Form, move: Step) -> Iterator[str]:
    """A move inside loops around which the form lives writes every position of it in some turn."""
    made = accesses_of(facts, move).get(move.writes[0].slot)
    home = form.layout.home if form.layout is not None else ()
    turns = [k for k in move.path if k not in home]
    if made is None or not is_move(move):
        return
    where = f"form {form.name!r} is written by {move.name!r}"
    for factor, i in zip(facts.held(form.name).factors, made.index, strict=True):
        whole = (i.offset, i.step) == (0, 1) and i.loop and facts.trips([i.loop]) == factor.size
        if i.loop in turns and not whole:
            yield f"{where} at {i} of the {factor.size} positions of {factor.name}"
    again = [k for k in turns if k not in made.loops]
    if again:
        yield f"{where} again in every iteration of {again[0]!r}"


def read_after_written(facts: Facts) -> Iterator[str]:
    """Every read comes after the last write of its form, and takes what is written by then."""
    writers = _writers(facts)
    for step in facts.plan.steps:
        taken = accesses_of(facts, step)
        for use in step.reads:
            where = f"step {step.name!r} reads form {use.form!r}"
            for writer in writers[use.form]:
                if writer.group >= step.group:
                    yield f"{where} before step {writer.name!r} wrote it"
                    continue
                slot = next(u.slot for u in writer.writes if u.form == use.form)
                made = accesses_of(facts, writer).get(slot)
                if made is not None and use.slot in taken:
                    problems = _not_there(writer, made, step, taken[use.slot])
                    yield from (f"{where}, {problem}" for problem in problems)


def _not_there(writer: Step, made: Access, reader: Step, taken: Access) -> Iterator[str]:
    """What the reader takes in an iteration of shared loops that the writer has not completed."""
    pairs = zip(writer.path, reader.path, strict=False)
    shared = [a for a, _ in itertools.takewhile(lambda p: p[0] == p[1], pairs)]
    for w, r in zip(made.index, taken.index, strict=True):
        if w.loop in shared and (w.loop, w.offset, w.step) != (r.loop, r.offset, r.step):
            yield f"of which one iteration of {w.loop!r} in step {writer.name!r} wrote {w}, not {r}"
    for loop in shared if ops_of(writer) else ():
        if loop not in made.loops:
            yield f"which step {writer.name!r} completes only after loop {loop!r}"


def lifetimes(facts: Facts) -> Iterator[str]:
    """On-chip forms live exactly from first to last use, HBM homes at least that long.

    What is used in a loop that is not of its home lives for all of that loop, as does what lives
    from one turn of a pipelined loop into the next.
    """
    used = _used(facts)
    for form in facts.plan.forms:
        steps = used[form.name]
        if not steps:
            yield f"form {form.name!r} is used by no step"
            continue
        exact = (form.first_step, form.last_step) == (min(steps), max(steps))
        around = form.first_step <= min(steps) and form.last_step >= max(steps)
        if not (exact if form.layout is not None else around):
            yield (
                f"form {form.name!r} lives over steps {form.first_step}..{form.last_step}, "
                f"its uses are {min(steps)}..{max(steps)}"
            )


def _used(facts: Facts) -> dict[str, list[int]]:
    """Positions of every form's uses: all of a loop inside of which its home is not."""
    inside: dict[str, list[int]] = {}
    for step in facts.plan.steps:
        for loop in step.path:
            inside.setdefault(loop, []).append(step.group)
    used: dict[str, list[int]] = {f.name: [] for f in facts.plan.forms}
    crosses = crossing(facts)
    for step in facts.plan.steps:
        for use in (*step.reads, *step.writes):
            layout = facts.forms[use.form].layout
            home = layout.home if layout is not None else ()
            around = home[-1:] if crosses[use.form] else step.path[len(home) :][:1]
            used[use.form] += inside[around[0]] if around else [step.group]
    return used


def residency(facts: Facts) -> Iterator[str]:
    """The summary per tensor says what the steps do with it."""
    expected: dict[str, str] = {}
    for step in facts.plan.steps:
        spec = step.spec
        cover = spec.cover if isinstance(spec, Elementwise) else None
        cover = spec.epilogue.cover if isinstance(spec, Contract) else cover
        for tensor in cover.internal if cover else ():
            expected.setdefault(tensor, "fused")
    on_chip = {f.tensor for f in facts.plan.forms if f.layout is not None}
    for form in facts.plan.forms:
        expected[form.tensor] = "resident" if form.tensor in on_chip else "hbm"
    for step in facts.plan.steps:
        spec = step.spec
        if isinstance(spec, Contract) and spec.stream is not None:
            stream = spec.stream
            tensor = next(facts.forms[u.form].tensor for u in step.reads if u.slot == stream.slot)
            if tensor not in on_chip:
                expected[tensor] = "streamed"
        scratch = isinstance(spec, Store) and step.writes[0].form.endswith("@spill")
        if isinstance(spec, Store) and (scratch or spec.target.tensor not in facts.program.outputs):
            expected[spec.target.tensor] = "spilled"
    stated = dict(facts.plan.residency)
    for tensor in sorted({*expected, *stated}):
        said = stated.get(tensor)
        if said != expected.get(tensor):
            is_ = expected.get(tensor)
            yield f"tensor {tensor!r} is said to be {said}, the steps make it {is_}"


def reinterprets(facts: Facts) -> Iterator[str]:
    """What no factoring serves goes from HBM to HBM, as does what ranks exchange."""
    for step in facts.plan.steps:
        if isinstance(step.spec, (Reinterpret, Exchange)):
            for use in (*step.reads, *step.writes):
                if facts.forms[use.form].layout is not None:
                    yield f"step {step.name!r} moves form {use.form!r}, which is on chip"
