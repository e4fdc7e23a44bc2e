"""Exact cover: every op belongs to exactly one executed candidate."""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """One constraint per op."""
    by_op: dict[str, list[cp_model.IntVar]] = {o: [] for o in instance.order}
    for candidate, chosen in zip(instance.candidates, variables.chosen, strict=True):
        for op in candidate.ops:
            by_op[op].append(chosen)
    for literals in by_op.values():
        model.add_exactly_one(literals)
