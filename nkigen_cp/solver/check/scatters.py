"""Scatters: what lies on the partitions, what is looped, where the operands are, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import demanded, on_partitions, satisfies
from nkigen_cp.solver.check.price_dma import Priced, moved_ns, store
from nkigen_cp.solver.plan import Run, Scatter, Step, Store, Tiled


def scatters(facts: Facts) -> Iterator[str]:
    """A scatter writes from SBUF into HBM, one DMA per index."""
    for step in facts.plan.steps:
        if isinstance(step.spec, Scatter):
            op = facts.program.ops[step.spec.op]
            problems = [*_digits(facts, op, step.spec)] or [*_operands(facts, op, step)]
            yield from (f"step {step.name!r} {problem}" for problem in problems)


def _digits(facts: Facts, op: FactorOp, spec: Scatter) -> Iterator[str]:
    sizes = {d.name: d.size for d in op.digits}
    run, index = spec.run, op.accesses[1].digits
    if sorted(spec.loops) != sorted(index):
        yield f"loops over {spec.loops}, its index moves along {index}"
    elif not set(run.digits) <= set(sizes) - set(index):
        yield f"has {run.digits} on the partitions, its index moves along {index}"
    else:
        yield from on_partitions(run, sizes, facts.target)


def _operands(facts: Facts, op: FactorOp, step: Step) -> Iterator[str]:
    spec = step.spec
    assert isinstance(spec, Scatter)
    held = {u.slot: facts.forms[u.form].layout for u in (*step.reads, *step.writes)}
    yield from (f"has {s} as {held[s]}, not in HBM" for s in ("base", "dst") if held[s] is not None)
    runs = {"index": (op.accesses[1], Run()), "values": (op.accesses[2], spec.run)}
    for slot, (access, run) in runs.items():
        wanted, layout = demanded(facts.tensor(access.tensor), access, run), held[slot]
        if isinstance(wanted, str):
            yield f"cannot have {slot} so: {wanted}"
        elif layout is None or not satisfies(layout, wanted):
            yield f"has {slot} as {layout or 'HBM'}, its run demands {wanted}"
    kind = facts.tensor(op.accesses[1].tensor).dtype
    if kind.name not in ("int32", "uint32"):
        yield f"takes {kind} as positions"
    if facts.tensor(op.accesses[2].tensor).dtype != facts.tensor(op.output.tensor).dtype:
        yield "writes elements of another kind"


def priced(facts: Facts, step: Step) -> Priced:
    """The copy in HBM, unless an input is updated in place, and what storing the values costs."""
    spec = step.spec
    assert isinstance(spec, Scatter)
    op = facts.program.ops[spec.op]
    result = facts.tensor(op.output.tensor)
    side = (Memory.HBM, result.dtype)
    if facts.program.renewed(result.name) is None:
        yield "dma", moved_ns(facts.target, side, side, (1, result.size), result.size)
    back = Store(
        source=op.accesses[2],
        target=op.output,
        digits={d.name: d.size for d in op.digits},
        op=op.name,
        loops=tuple(Tiled(digit=d, block=1) for d in spec.loops),
    )
    values = tuple(u for u in step.reads if u.slot == "values")
    yield from store(facts, replace(step, spec=back, reads=values))
