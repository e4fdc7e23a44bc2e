"""What steps compute, and which positions of its tensors each of them takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorTensor
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Exchange,
    Gather,
    Layout,
    Reinterpret,
    Scatter,
    Step,
    Store,
    Use,
)

SLOTS: Mapping[type, tuple[str, ...]] = {
    Reinterpret: ("src",),
    Exchange: ("src",),
    Gather: ("table", "index"),
    Scatter: ("base", "index", "values"),
}
"""What the operands of steps are called that compute one op by moving data."""


def ops_of(step: Step) -> tuple[str, ...]:
    """The ops that a step computes; none of a move."""
    spec = step.spec
    if isinstance(spec, (Reinterpret, Exchange, Gather, Scatter)):
        return (spec.op,)
    if isinstance(spec, Elementwise):
        return spec.cover.ops
    return spec.epilogue.cover.ops if isinstance(spec, Contract) else ()


def is_move(step: Step) -> bool:
    """Whether the step only brings a tensor from one form into another."""
    return not isinstance(step.spec, (Elementwise, Contract, Store, *SLOTS))


def accesses_of(facts: Facts, step: Step) -> dict[str, Access]:
    """The positions that a step takes per slot; moves take all that both of their forms hold."""
    spec = step.spec
    if isinstance(spec, (Reinterpret, Exchange, Gather, Scatter)):
        return _of_op(facts, spec)
    if isinstance(spec, Store):
        return {"src": spec.source, "dst": spec.target}
    if isinstance(spec, Elementwise):
        return {s.name: s.access for s in (*spec.cover.reads, *spec.cover.writes)}
    if isinstance(spec, Contract):
        lhs, rhs = facts.program.ops[spec.op].accesses
        first, second = (lhs, rhs) if spec.stationary == "lhs" else (rhs, lhs)
        cover = spec.epilogue.cover
        found = {s.name: s.access for s in (*cover.reads, *cover.writes)}
        return {**found, "stationary": first, "moving": second}
    layouts = (facts.forms[u.form].layout for u in (*step.reads, *step.writes))
    own = _all_of(facts.held(step.writes[0].form), [x for x in layouts if x is not None])
    return {"src": own, "dst": own}


def _of_op(facts: Facts, spec: Reinterpret | Exchange | Gather | Scatter) -> dict[str, Access]:
    """The accesses of the op, except of what it takes and makes as a whole in HBM."""
    op = facts.program.ops[spec.op]
    found = dict(zip(SLOTS[type(spec)], op.accesses, strict=True))
    result = {"dst": op.output} if isinstance(spec, Gather) else {}
    return {**{s: a for s, a in found.items() if s not in ("src", "base")}, **result}


def _all_of(tensor: FactorTensor, layouts: Sequence[Layout]) -> Access:
    """Every factor by a digit of its own, those that a layout fixes where their loops are."""
    fixed = {f.factor: f for layout in layouts for f in layout.fixed}
    index: list[FactorIndex] = []
    for factor in tensor.factors:
        at = fixed.get(factor.name)
        index.append(
            FactorIndex(digit=factor.name)
            if at is None
            else FactorIndex(digit=None, offset=at.offset, step=at.step, loop=at.loop)
        )
    return Access(tensor=tensor.name, index=tuple(index))


def uses_of(facts: Facts, step: Step) -> Iterator[tuple[Use, Access]]:
    """What a step reads and writes, with the positions it takes."""
    accesses = accesses_of(facts, step)
    for use in (*step.reads, *step.writes):
        if use.slot in accesses:
            yield use, accesses[use.slot]
