"""From cores to conflicts in words: what is asked for, the limit it meets, what would help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nkigen_cp.conflicts import Conflict, InfeasibilityReport
from nkigen_cp.solver.infeasible.cores import minimal_cores
from nkigen_cp.solver.infeasible.feasibility import SBUF, Feasibility, Room
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.pins import Ruling
from nkigen_cp.solver.plan import Contract, Elementwise
from nkigen_cp.solver.plan.layout import CHUNK
from nkigen_cp.targets.target import Target

MOST_TERMS = 8
"""Tensors named of those that fill SBUF."""


def explain(instances: Sequence[Instance], undecided: str) -> InfeasibilityReport:
    """The conflicts that keep all of these instances from having a plan.

    ``undecided`` is what is said where nothing is proven to contradict anything.
    """
    models = [Feasibility(i) for i in instances]
    target = instances[0].target
    conflicts = [_conflict(instances, models, core) for core in minimal_cores(models)]
    if not conflicts:
        levers = ("a larger effort",)
        conflicts = [Conflict(resource="search", members=(), text=undecided, levers=levers)]
    name = instances[0].program.name
    return InfeasibilityReport(kernel=name, target=target.name, conflicts=tuple(conflicts))


def _conflict(
    instances: Sequence[Instance], models: Sequence[Feasibility], core: tuple[str, ...]
) -> Conflict:
    target = instances[0].target
    pins = [m for m in core if m != SBUF]
    if SBUF in core:
        return _overflow(target, models, pins)
    rulings = [r for r in instances[0].rulings if str(r.demand) in core]
    if len(rulings) == 1:
        return _alone(instances[0], rulings[0])
    return Conflict(
        resource="pins",
        members=core,
        text=f"the pins {', '.join(core)} contradict each other",
        levers=tuple(f"drop {m}" for m in core),
    )


def _overflow(target: Target, models: Sequence[Feasibility], pins: Sequence[str]) -> Conflict:
    rooms = [r for m in models if (r := m.room(pins)) is not None]
    least: Room | None = min(rooms, key=lambda r: r.needed, default=None)
    bound = target.sbuf_partition_bytes
    asked = f"with {', '.join(pins)} " if pins else ""
    levers = [f"drop {p}" for p in pins]
    found = Conflict(
        resource=SBUF,
        members=(*pins, f"SBUF of {bound} B per partition"),
        text=f"{asked}no plan fits {target.name}'s SBUF of {bound:,} B per partition",
        levers=(*levers, "smaller shapes or a narrower dtype"),
        bound=bound,
        unit=" B",
    )
    if least is None:
        return found
    most = "at least " if least.proven else ""
    return replace(
        found,
        text=f"{found.text}: at step {least.step!r} {most}{least.needed:,} B are needed",
        demand=least.needed,
        terms=least.terms[:MOST_TERMS],
        levers=(*levers, f"a target with {least.needed:,} B of SBUF", *found.levers[-1:]),
    )


def _alone(instance: Instance, ruling: Ruling) -> Conflict:
    """A demand that nothing there is to choose from meets: the limit it breaks by itself."""
    demand, target = ruling.demand, instance.target
    drop = f"drop {demand}"
    if demand.kind == "tile" and isinstance(demand.value, int):
        if demand.value > target.partitions:
            return Conflict(
                resource="partitions",
                members=(str(demand),),
                text=f"{demand}: a tile of {target.name} spans at most {target.partitions} "
                "partitions",
                levers=(drop, f"tile={target.partitions}"),
                demand=demand.value,
                bound=target.partitions,
            )
    offers = _OFFERS.get(demand.kind, _nothing)(instance, ruling)
    known = f"; offered is {', '.join(offers)}" if offers else ""
    return Conflict(
        resource=demand.kind,
        members=(str(demand),),
        text=f"{demand}: nothing that {target.name} can do meets this{known}",
        levers=(drop, *(f"{demand.kind}={o}" for o in offers)),
    )


def _steps(instance: Instance, ruling: Ruling) -> list[Elementwise]:
    """Instructions that may compute the tensor."""
    found: list[Elementwise] = []
    for c in instance.candidates:
        spec = c.spec.epilogue if isinstance(c.spec, Contract) else c.spec
        if isinstance(spec, Elementwise) and any(o in ruling.ops for o in c.ops):
            found.append(spec)
    return found


def _engines(instance: Instance, ruling: Ruling) -> list[str]:
    return list(dict.fromkeys(s.engine for s in _steps(instance, ruling)))


def _instructions(instance: Instance, ruling: Ruling) -> list[str]:
    return list(dict.fromkeys(s.cover.instruction for s in _steps(instance, ruling)))


def _tiles(instance: Instance, ruling: Ruling) -> list[str]:
    return list(dict.fromkeys(str(s.run.partitions) for s in _steps(instance, ruling)))


def _axes(instance: Instance, ruling: Ruling) -> list[str]:
    """What the layouts have on the partitions in which the tensor may be written or read."""
    held = instance.choices.get(ruling.demand.tensor)
    layouts = (*held.made, *(x for x, _ in held.readers if x is not None)) if held else ()
    names = (",".join(x.partition) for x in layouts if CHUNK not in x.partition)
    return [n for n in dict.fromkeys(names) if n]


def _nothing(instance: Instance, ruling: Ruling) -> list[str]:
    del instance, ruling
    return []


_OFFERS: Mapping[str, Callable[[Instance, Ruling], list[str]]] = {
    "engine": _engines,
    "instruction": _instructions,
    "tile": _tiles,
    "partition": _axes,
}
"""What there is to choose from instead, by kind of demand."""
