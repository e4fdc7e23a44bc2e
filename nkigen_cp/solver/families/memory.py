"""SBUF capacity: at every step what is alive, and the tiles of the step itself, must fit."""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Choice, Instance
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """One row per step at which the sum of everything possible exceeds the capacity."""
    capacity = instance.target.sbuf_partition_bytes - constants_bytes(instance)
    for k, op in enumerate(instance.order):
        terms: list[tuple[int, cp_model.IntVar]] = []
        for choice in instance.choices.values():
            terms += _alive(instance, variables, choice, k, op)
        for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
            if candidate.ops[-1] == op and candidate.sbuf_bytes:
                terms.append((candidate.sbuf_bytes, chosen))
        if sum(size for size, _ in terms) > capacity:
            model.add(sum(size * literal for size, literal in terms) <= capacity)


def constants_bytes(instance: Instance) -> int:
    """Identity-free helpers that live throughout: one row of ones per dtype of a replication."""
    return 2 * 4 * instance.target.partitions


def lifetime(instance: Instance, choice: Choice) -> tuple[int, int]:
    """First and last step at which a kept form of a tensor may be alive, ends included."""
    readers = [
        instance.position(c.ops[-1])
        for c in instance.candidates
        if any(n.tensor == choice.tensor.name for n in c.needs)
    ]
    writers = [instance.position(p) for p in choice.producers if p in instance.order]
    first = min(writers) if writers else min(readers)
    return first, max([*readers, *writers])


def _alive(
    instance: Instance, variables: Variables, choice: Choice, k: int, op: str
) -> list[tuple[int, cp_model.IntVar]]:
    name = choice.tensor.name
    terms: list[tuple[int, cp_model.IntVar]] = []
    for x in choice.layouts:
        first, last = lifetime(instance, choice)
        if first <= k <= last:
            terms.append((choice.sizes[x], variables.kept[name, x]))
        visit = variables.visiting.get((name, x, op))
        if visit is not None:
            terms.append((choice.sizes[x], visit))
        spilled = variables.spilled.get((name, x))
        if spilled is not None and op in choice.producers:
            terms.append((choice.sizes[x], spilled))
    return terms
