"""The checker accepts plans inside loops and names the rule that a spoiled one breaks."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from typing import Any, cast

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.solver.check import check_plan
from tests.solver.corruption import Corruption
from tests.solver.nest_corruption import NEST_CORRUPTIONS
from tests.solver.nests import NESTS


@cache
def _plan(name: str) -> cp.Plan:
    return NESTS[name].plan()


@pytest.mark.parametrize("name", NESTS)
def test_accepts_plans_that_compute_what_numpy_does(name: str) -> None:
    plan, nest = _plan(name), NESTS[name]
    check_plan(plan.program, plan.data, plan.target)
    arrays = nest.arrays()
    found, wanted = cp.simulate(cp.lower(plan), *arrays), nest.function(*arrays)
    for a, b in zip(_each(found), _each(wanted), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-4)


def _each(results: Any) -> tuple[Any, ...]:
    return cast("tuple[Any, ...]", results) if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("corruption", NEST_CORRUPTIONS, ids=lambda c: f"{c.rule}-{c.program}")
def test_rejects(corruption: Corruption) -> None:
    plan = _plan(corruption.program)
    data, target = corruption.breaks(plan.data), corruption.of(plan.target)
    with pytest.raises(cp.PlanError, match=re.escape(f"breaks rule {corruption.rule!r}: ")):
        check_plan(plan.program, data, target)


def test_a_result_may_take_the_place_of_its_last_operand() -> None:
    """Of a block of rows first the exponentials, then the quotients lie where it was loaded."""
    nest = dataclasses.replace(NESTS["softmax"], homes={"x": ("L0",)})
    plan = nest.plan()
    data, names = plan.data, {f.tensor: f.name for f in plan.data.forms if f.layout}
    at = next(f.address for f in data.forms if f.name == names["x"])
    over = {"exps": names["x"], "divide_1": names["exps"]}
    forms = (
        dataclasses.replace(f, over=over[f.tensor], address=at)
        if f.tensor in over and f.layout
        else f
        for f in data.forms
    )
    shared = dataclasses.replace(data, forms=tuple(forms))
    check_plan(plan.program, shared, plan.target)
    arrays = nest.arrays()
    found: Any = cp.simulate(cp.lower(dataclasses.replace(plan, data=shared)), *arrays)
    assert np.allclose(found, nest.function(*arrays), atol=1e-5)


def test_nests_are_what_they_are_called() -> None:
    forms = {n: [f.name for f in _plan(n).data.forms] for n in NESTS}
    assert _plan("crossing spilled").residency["exps"] == "spilled"
    assert _plan("crossing whole").residency["exps"] == "resident"
    assert any(
        f.startswith("w@") and f.endswith("[L0]") for f in forms["matmul, weights per row block"]
    )
    assert any(f.endswith("[L0.L1]") for f in forms["attention"])
    for name in ("blocked contraction", "blocked sum", "softmax in place"):
        assert any(f.over is not None for f in _plan(name).data.forms)
