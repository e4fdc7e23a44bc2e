"""Reuse of SBUF: a result in the place of an operand that nobody needs again."""

from __future__ import annotations

from ortools.sat.python import cp_model

from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import Variables


def add(model: cp_model.CpModel, instance: Instance, variables: Variables) -> None:
    """A reuse needs both forms and a candidate that makes it; a form is taken over once."""
    once: dict[tuple[str, str, Layout], list[cp_model.IntVar]] = {}
    for reuse, literal in zip(instance.reuses, variables.reused, strict=True):
        a, b = (reuse.operand, reuse.operand_form), (reuse.result, reuse.result_form)
        model.add_implication(literal, variables.kept[a])
        model.add_implication(literal, variables.kept[b])
        model.add(literal <= sum(variables.chosen[i] for i in reuse.candidates))
        once.setdefault(("from", *a), []).append(literal)
        once.setdefault(("into", *b), []).append(literal)
    for literals in once.values():
        if len(literals) > 1:
            model.add_at_most_one(literals)
