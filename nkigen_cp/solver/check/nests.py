"""Loop nests: the plan's loops are those of the program, steps run in them, forms live in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.nest import bind
from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp, Loop
from nkigen_cp.solver.check.facts import Facts, uncut
from nkigen_cp.solver.check.uses import is_move, ops_of, uses_of
from nkigen_cp.solver.plan import Step, Store


def structure(facts: Facts) -> Iterator[str]:
    """The program has the plan's cuts and loops; a loop counts all of one digit of each op."""
    broken = [p for cut in facts.plan.cuts if (p := uncut(facts.program, cut)) is not None]
    yield from (f"the plan {problem}" for problem in broken)
    if broken:
        return
    broken = list(_loops(facts))
    yield from broken
    if not broken:
        yield from _bound(facts)


def _loops(facts: Facts) -> Iterator[str]:
    if len(facts.loops) < len(facts.plan.loops):
        yield "two loops share a name"
    for loop in facts.plan.loops:
        yield from _counted(facts, loop)


def _bound(facts: Facts) -> Iterator[str]:
    """Ops whose loops count no reduced digit are derived here, accumulators are taken from IR."""
    program, loops = facts.program, facts.plan.loops
    assert facts.whole is not None
    try:
        expected = bind(facts.whole, loops)
    except PlanError as error:
        yield str(error)
        return
    if (program.tensors, program.carried) != (expected.tensors, expected.carried):
        yield "the program has other tensors than the plan's cuts and loops make"
    for name, op in program.ops.items():
        whole = facts.unlooped.get(name)
        once = looped(loops, whole) if whole is not None else None
        complete = once is not None and set(once.path) <= set(once.output.loops)
        if op != expected.ops.get(name) or (complete and op != once):
            yield f"op {name!r} of the program is not what the plan's cuts and loops make of it"


def _counted(facts: Facts, loop: Loop) -> Iterator[str]:
    if loop.trips < 1 or loop.copies < 1:
        yield f"loop {loop.name!r} has {loop.trips} trips and {loop.copies} copies"
    for name, digit in loop.digits.items():
        op = facts.unlooped.get(name)
        size = {d.name: d.size for d in op.digits}.get(digit) if op is not None else None
        if size != loop.trips:
            yield f"loop {loop.name!r} has {loop.trips} trips, {digit!r} of op {name!r} has {size}"
        if any(k.digits.get(name) == digit for k in facts.plan.loops if k is not loop):
            yield f"loop {loop.name!r} is not the only one that counts {digit!r} of op {name!r}"


def looped(loops: Sequence[Loop], op: FactorOp) -> FactorOp:
    """One iteration of the op inside those of the loops that count a digit of it."""
    counted = {k.digits[op.name]: k.name for k in loops if op.name in k.digits}

    def one(access: Access) -> Access:
        return replace(access, index=tuple(at(i) for i in access.index))

    def at(i: FactorIndex) -> FactorIndex:
        if i.digit not in counted:
            return i
        return FactorIndex(digit=None, offset=i.offset, step=i.step, loop=counted[i.digit])

    return replace(
        op,
        digits=tuple(d for d in op.digits if d.name not in counted),
        inputs=tuple(one(i) if isinstance(i, Access) else i for i in op.inputs),
        output=one(op.output),
        path=tuple(counted.values()),
    )


def paths(facts: Facts) -> Iterator[str]:
    """Steps run in the loops of what they do; a loop has one place in the order of steps."""
    around: dict[str, tuple[str, ...]] = {}
    opened: tuple[str, ...] = ()
    for step in facts.plan.steps:
        for wanted in _wanted(facts, step):
            if step.path != wanted:
                yield f"step {step.name!r} runs in loops {step.path}, what it does in {wanted}"
        for depth, name in enumerate(step.path):
            outer = step.path[:depth]
            if name not in facts.loops:
                yield f"step {step.name!r} runs in unknown loop {name!r}"
            elif around.get(name, outer) != outer:
                yield f"loop {name!r} runs inside {around[name]} and, at {step.name!r}, in {outer}"
            elif name in around and name not in opened:
                yield f"step {step.name!r} enters loop {name!r}, which has ended"
            around[name] = outer
        opened = step.path


def _wanted(facts: Facts, step: Step) -> list[tuple[str, ...]]:
    """The paths that a step's ops or store demand; for a move, the deeper home of its forms."""
    if isinstance(step.spec, Store):
        return [step.spec.path]
    if is_move(step):
        layouts = (facts.forms[u.form].layout for u in (*step.writes, *step.reads))
        homes = [x.home for x in layouts if x is not None]
        return [max(homes, key=len, default=())]
    return [facts.program.ops[name].path for name in ops_of(step)]


def homes(facts: Facts) -> Iterator[str]:
    """A form is used inside its home only, and at the positions that it holds there."""
    for step in facts.plan.steps:
        for use, access in uses_of(facts, step):
            where = f"step {step.name!r}: {use.slot} {use.form!r}"
            foreign = [k for k in access.loops if k not in step.path]
            if foreign:
                yield f"{where} follows loop {foreign[0]!r}, which is not around the step"
            layout = facts.forms[use.form].layout
            if layout is None:
                continue
            if step.path[: len(layout.home)] != layout.home:
                yield f"{where} lives in loops {layout.home}, the step runs in {step.path}"
            at = dict(
                zip((f.name for f in facts.held(use.form).factors), access.index, strict=True)
            )
            for held in layout.fixed:
                i = at[held.factor]
                if (i.loop, i.offset, i.step) != (held.loop, held.offset, held.step):
                    yield f"{where} holds {held.factor} at loop {held.loop!r}, the step takes {i}"
