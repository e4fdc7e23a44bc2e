"""Engine loads and the objective: the busiest engine of each nest, a share of everything, the ends.

Nests follow each other, so what counts of a nest is its own busiest engine; the DMA queues run
ahead and are taken over the whole kernel. What a nest reads and does not load itself has to be
there before it begins. In-order queues never overlap perfectly: one part in ``SERIAL_SHARE`` of all
work is taken to be done one after the other, the rest beside each other. What is spilled counts in
full: HBM is shared with the other cores, and a round trip delays whoever waits at its end.
"""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.candidates import Move
from nkigen_cp.solver.choices import path_of
from nkigen_cp.solver.feeds import Feeds, behind, feeds_of
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.variables import Variables, load_ns
from nkigen_cp.targets.target import Target

SERIAL_SHARE = 8
"""One part in eight: what loops that overlap their iterations leave on the critical path."""

DMA = "dma"


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> cp_model.LinearExpr:
    """The makespan covers every nest's engines; returns the objective, in units of 1/8 ns."""
    busy = engine_loads(instance, variables)
    for (nest, engine), load in busy.items():
        if engine != DMA:
            model.add(variables.nests[nest] >= load)
    dma = [load for (_, engine), load in busy.items() if engine == DMA]
    model.add(variables.makespan >= _total(list(variables.nests.values())))
    model.add(variables.makespan >= _total(dma))
    feeds = feeds_of(instance.program)
    for nest in feeds:
        loads = _loads(instance, variables, feeds, nest)
        later = [variables.nests[n] for n in behind(feeds, nest)]
        model.add(variables.makespan >= _total([*loads, *later]))
    beside = (SERIAL_SHARE - 1) * variables.makespan
    spills = [instance.choices[t].spills[x] * v for (t, x), v in variables.spilled.items()]
    alone = _total(spills) + ends_ns(instance.target)
    return _total([beside, *busy.values()]) + SERIAL_SHARE * alone


def ends_ns(target: Target) -> int:
    """Before the first byte comes and behind the last one nothing else goes on."""
    return round(2 * target.dma.latency_ns)


def _loads(
    instance: Instance, variables: Variables, feeds: Feeds, nest: str
) -> list[cp_model.LinearExpr]:
    """Nanoseconds of the loads that a nest waits for."""
    loads: list[cp_model.LinearExpr] = []
    for tensor in feeds[nest]:
        choice = instance.choices[tensor]
        moves = zip(choice.moves, variables.moved[tensor], strict=True)
        loads += [m.busy_ns[DMA] * literal for m, literal in moves if _is_ahead(m, nest)]
        visits = [(x, v) for (t, x, _), v in variables.visiting.items() if t == tensor]
        loads += [load_ns(choice, x) * literal for x, literal in visits]
    return loads


def _is_ahead(move: Move, nest: str) -> bool:
    """Whether a move loads something outside of the nest."""
    return move.source is None and DMA in move.busy_ns and nest_of(path_of(move)) != nest


def engine_loads(
    instance: Instance, variables: Variables
) -> dict[tuple[str, str], cp_model.LinearExpr]:
    """Busy nanoseconds of each nest's engines as linear expressions."""
    terms: dict[tuple[str, str], list[cp_model.LinearExpr]] = {}
    for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
        for engine, ns in candidate.busy_ns.items():
            terms.setdefault((nest_of(candidate.path), engine), []).append(ns * chosen)
    for name, choice in instance.choices.items():
        for move, literal in zip(choice.moves, variables.moved[name], strict=True):
            for engine, ns in move.busy_ns.items():
                terms.setdefault((nest_of(path_of(move)), engine), []).append(ns * literal)
        for x, ns in choice.spills.items():
            terms.setdefault((nest_of(x.home), DMA), []).append(ns * variables.spilled[name, x])
    for (name, x, _), literal in variables.visiting.items():
        ns = load_ns(instance.choices[name], x)
        terms.setdefault((nest_of(x.home), DMA), []).append(ns * literal)
    return {key: _total(found) for key, found in terms.items()}


def _total(terms: list[cp_model.LinearExpr]) -> cp_model.LinearExpr:
    return cp_model.LinearExpr.sum(terms)  # pyright: ignore[reportUnknownMemberType]
