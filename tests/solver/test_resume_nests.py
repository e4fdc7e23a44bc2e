"""A plan inside loops as the start of another solve inside the same loops."""

from __future__ import annotations

import dataclasses

import pytest
from ortools.sat.python import cp_model

from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.families import memory
from nkigen_cp.solver.instance import Instance, build_instance
from nkigen_cp.solver.resume import decisions_of
from nkigen_cp.solver.search import _hint as hint  # pyright: ignore[reportPrivateUsage]
from nkigen_cp.solver.search import build_model
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure import Structure, structured
from nkigen_cp.solver.work import work_of
from tests.solver.nests import FAST, NESTS, Nest, structure_of


def _instance(nest: Nest, structure: Structure | None = None) -> Instance:
    graph = canonical(nest.graph(), FAST)
    return build_instance(structured(graph, structure or nest.structure()), nest.target)


@pytest.mark.parametrize("name", NESTS)
def test_a_plan_is_found_again_among_the_candidates(name: str) -> None:
    plan, instance = NESTS[name].plan(), _instance(NESTS[name])
    decisions = decisions_of(instance, plan.data)
    assert decisions is not None
    assert work_of(instance, decisions).busy_ns == plan.data.busy_ns
    steps, forms = assemble(instance, decisions)
    assert tuple(steps) == plan.data.steps
    assert forms == [dataclasses.replace(f, address=None) for f in plan.data.forms]


@pytest.mark.parametrize("name", NESTS)
def test_what_is_found_again_satisfies_the_model(name: str) -> None:
    """As a hint it must be complete and right, or the search starts from nothing."""
    plan, instance = NESTS[name].plan(), _instance(NESTS[name])
    decisions = decisions_of(instance, plan.data)
    assert decisions is not None
    assert memory.fits(instance, decisions)
    model, variables = build_model(instance)
    hint(model, instance, variables, decisions)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.fix_variables_to_their_hinted_value = True
    assert solver.solve(model) == cp_model.OPTIMAL


def test_a_plan_of_other_loops_is_ignored() -> None:
    nest = NESTS["softmax"]
    plan = nest.plan()
    (along,) = nest.loops
    graph = canonical(nest.graph(), FAST)
    assert decisions_of(_instance(nest, Structure()), plan.data) is None
    for other in (dataclasses.replace(along, inner=64), dataclasses.replace(along, copies=3)):
        assert decisions_of(_instance(nest, structure_of(graph, (other,))), plan.data) is None


def test_a_plan_of_other_cuts_is_ignored() -> None:
    nest = NESTS["matmul"]
    plan = nest.plan()
    fewer = dataclasses.replace(plan.data, cuts=plan.data.cuts[:1])
    assert decisions_of(_instance(nest), fewer) is None
    unknown = dataclasses.replace(plan.data.cuts[0], tensor="nobody")
    assert decisions_of(_instance(nest), dataclasses.replace(plan.data, cuts=(unknown,))) is None
