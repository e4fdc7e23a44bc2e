"""Pins: the plan meets every demand that its options state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.uses import is_move, ops_of
from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Form,
    Layout,
    Load,
    Reinterpret,
    Step,
    Store,
    geometry,
)
from nkigen_cp.solver.plan.pin_names import (
    axes_of,
    computing,
    is_given,
    named_factors,
    on_partitions,
    tensors_of,
)
from nkigen_cp.solver.plan.pins import FUSE, Demand, demands


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A tensor where a demand looks at it: in the step that computes it, or reads an input."""

    tensor: str
    step: Step
    op: FactorOp | None


def pins(facts: Facts) -> Iterator[str]:
    """Every demand of the options holds, wherever the plan touches its tensor."""
    for demand in demands(facts.plan.options.pins):
        tensors = tensors_of(facts.program, demand.tensor)
        if not tensors:
            yield f"pin {demand} names a tensor that the program does not have"
        elif demand.kind == "residency":
            for tensor in tensors:
                yield from (f"pin {demand}: {p}" for p in _LIVES[str(demand.value)](facts, tensor))
        else:
            for spot in (s for t in tensors for s in _spots(facts, t)):
                if not _HOLDS[demand.kind](facts, demand, spot):
                    yield f"pin {demand} does not hold in step {spot.step.name!r}"


def _spots(facts: Facts, tensor: str) -> Iterator[_Spot]:
    steps = facts.plan.steps
    if is_given(facts.program, tensor):
        for step in steps:
            forms = [facts.forms[u.form] for u in step.reads]
            if not is_move(step) and any(f.tensor == tensor and f.layout for f in forms):
                yield _Spot(tensor=tensor, step=step, op=None)
    for op in computing(facts.program, tensor):
        for step in (s for s in steps if op.name in ops_of(s)):
            yield _Spot(tensor=op.output.tensor, step=step, op=op)


def _instruction_of(step: Step) -> Elementwise | None:
    spec = step.spec.epilogue if isinstance(step.spec, Contract) else step.spec
    return spec if isinstance(spec, Elementwise) else None


def _multiplies(spot: _Spot) -> bool:
    return (
        isinstance(spot.step.spec, Contract)
        and spot.op is not None
        and (spot.step.spec.op == spot.op.name)
    )


def _layout(facts: Facts, spot: _Spot) -> Layout | None:
    uses = spot.step.reads if spot.op is None else spot.step.writes
    forms = (facts.forms[u.form] for u in uses)
    return next((f.layout for f in forms if f.tensor == spot.tensor and f.layout), None)


def _factors(facts: Facts, spot: _Spot) -> tuple[str, ...]:
    """The tensor's factors on the partitions: of its form, or of the tile inside an instruction."""
    layout, spec = _layout(facts, spot), _instruction_of(spot.step)
    if layout is not None or spec is None:
        return () if layout is None else layout.partition
    whole = spot.step.spec
    domain = whole.op if isinstance(whole, Contract) else spec.cover.root
    ops, program = ops_of(spot.step), facts.program
    return on_partitions(program, ops, program.ops[domain], spec.run.digits, spot.tensor)


def _partition(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    names = demand.value if isinstance(demand.value, tuple) else ()
    axes = axes_of(facts.program, demand.tensor) or axes_of(facts.program, spot.tensor)
    wanted = named_factors(facts.tensor(spot.tensor), names, axes)
    held = _factors(facts, spot)
    named = [f for own in (wanted or {}).values() for f in own]
    seen = [k for k, own in (wanted or {}).items() if any(f in held for f in own)]
    return bool(held) and all(f in named for f in held) and len(seen) == len(names)


def _tile(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    layout, spec = _layout(facts, spot), _instruction_of(spot.step)
    if layout is not None:
        return geometry(facts.tensor(spot.tensor), layout).partitions == demand.value
    return spec is not None and spec.run.partitions == demand.value


def _engine(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    del facts
    spec = _instruction_of(spot.step)
    if spec is None:
        return demand.value in spot.step.busy_ns
    return demand.value == spec.engine or (demand.value == "tensor" and _multiplies(spot))


def _instruction(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    del facts
    spec = _instruction_of(spot.step)
    matmul = demand.value == "nc_matmul" and _multiplies(spot)
    return matmul or (spec is not None and spec.cover.instruction == demand.value)


def _stationary(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    spec = spot.step.spec
    if not isinstance(spec, Contract) or not _multiplies(spot):
        return True
    lhs, rhs = facts.program.ops[spec.op].accesses
    tensor = lhs.tensor if spec.stationary == "lhs" else rhs.tensor
    return demand.value in (spec.stationary, tensor)


def _fused(facts: Facts, demand: Demand, spot: _Spot) -> bool:
    others = [
        other.step
        for t in tensors_of(facts.program, str(demand.value))
        for other in _spots(facts, t)
    ]
    path = spot.step.path
    return any(spot.step is o or (path and path == o.path) for o in others)


def _on_chip(facts: Facts, tensor: str) -> list[Form]:
    return [f for f in facts.plan.forms if f.tensor == tensor and f.layout is not None]


def _stores(facts: Facts, tensor: str) -> list[Step]:
    """Steps that put what is no output's own place into HBM."""
    own = f"{tensor}@hbm" if tensor in facts.program.outputs else ""
    return [
        s
        for s in facts.plan.steps
        if isinstance(s.spec, Store)
        and any(facts.forms[u.form].tensor == tensor and u.form != own for u in s.writes)
    ]


def _resident(facts: Facts, tensor: str) -> Iterator[str]:
    held = _on_chip(facts, tensor)
    layouts = [f.layout for f in held]
    if not held:
        yield f"{tensor!r} has no form in SBUF"
    yield from (f"form {f.name!r} lasts for one iteration" for f in held if f.layout.home)  # pyright: ignore[reportOptionalMemberAccess]
    if any(layouts.count(x) > 1 for x in layouts):
        yield f"{tensor!r} is loaded more than once"
    yield from (f"step {s.name!r} stores it to HBM" for s in _stores(facts, tensor))


def _streamed(facts: Facts, tensor: str) -> Iterator[str]:
    for form in _on_chip(facts, tensor):
        readers = [s for s in facts.plan.steps if any(u.form == form.name for u in s.reads)]
        if form.layout is not None and not form.layout.home and len(readers) > 1:
            yield f"form {form.name!r} is held for {len(readers)} steps"


def _spilled(facts: Facts, tensor: str) -> Iterator[str]:
    if not _stores(facts, tensor):
        yield f"no step stores {tensor!r} to HBM"
    for step in facts.plan.steps:
        if is_move(step) or isinstance(step.spec, Store):
            continue
        for use in step.reads:
            form = facts.forms[use.form]
            if form.tensor == tensor and not _loaded(facts, form):
                yield f"step {step.name!r} reads {form.name!r}, which was never in HBM"


def _loaded(facts: Facts, form: Form) -> bool:
    """Whether the form is in HBM or comes from there, maybe turned on the way."""
    if form.layout is None:
        return True
    writers = [s for s in facts.plan.steps if any(u.form == form.name for u in s.writes)]
    return all(
        isinstance(s.spec, Load)
        or (is_move(s) and all(_loaded(facts, facts.forms[u.form]) for u in s.reads))
        for s in writers
    )


def _tiles_only(facts: Facts, tensor: str) -> Iterator[str]:
    whole = [f for f in _on_chip(facts, tensor) if f.layout is not None and not f.layout.home]
    yield from (f"form {f.name!r} holds all of it" for f in whole)
    yield from (f"step {s.name!r} stores it to HBM" for s in _stores(facts, tensor))
    for step in facts.plan.steps:
        written = [facts.forms[u.form].tensor for u in step.writes]
        if isinstance(step.spec, Reinterpret) and tensor in written:
            yield f"step {step.name!r} writes all of it to HBM"


_HOLDS: Mapping[str, Callable[[Facts, Demand, _Spot], bool]] = {
    "partition": _partition,
    "tile": _tile,
    "engine": _engine,
    "instruction": _instruction,
    "stationary": _stationary,
    FUSE: _fused,
}

_LIVES: Mapping[str, Callable[[Facts, str], Iterator[str]]] = {
    "resident": _resident,
    "stream": _streamed,
    "spill": _spilled,
    "fused": _tiles_only,
}
