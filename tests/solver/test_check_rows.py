"""The checker names the rule that a spoiled plan of functions of rows breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.plan import Elementwise, PlanData, Run, Step

Change = Callable[[Step, Elementwise], Step]


def _ordered(x: Any) -> Any:
    """Two rows for every partition."""
    values, places = cp.ops.topk(x, 12)
    return values, places, np.cumsum(x, axis=-1)


@cache
def _plan() -> cp.Plan:
    return cp.solve(cp.trace(_ordered, cp.spec((2, 120, 40))), effort="fast")


def _spoiled(instruction: str, change: Change) -> PlanData:
    data = _plan().data
    steps = list(data.steps)
    for k, step in enumerate(steps):
        spec = step.spec
        if isinstance(spec, Elementwise) and spec.cover.instruction == instruction:
            steps[k] = change(step, spec)
            return replace(data, steps=tuple(steps))
    raise AssertionError(instruction)


def _cover(step: Step, spec: Elementwise, **changes: Any) -> Step:
    return replace(step, spec=replace(spec, cover=replace(spec.cover, **changes)))


def _by_maximum(step: Step, spec: Elementwise) -> Step:
    return _cover(step, spec, params={**spec.cover.params, "op1": "maximum"})


def _doubled(step: Step, spec: Elementwise) -> Step:
    return _cover(step, spec, params={**spec.cover.params, "imm0": 2.0})


def _several_rows(step: Step, spec: Elementwise) -> Step:
    return replace(step, spec=replace(spec, loops=()))


def _rows_on_partitions(step: Step, spec: Elementwise) -> Step:
    digit = spec.cover.made[0]
    return replace(step, spec=replace(spec, run=Run(digits=(digit,), block=12, partitions=12)))


def _row_in_pieces(step: Step, spec: Elementwise) -> Step:
    return replace(step, spec=replace(spec, loops=(*spec.loops, *spec.cover.made)))


def _no_row(step: Step, spec: Elementwise) -> Step:
    return _cover(step, spec, made=spec.cover.reduced)


def _no_scratch(step: Step, _: Elementwise) -> Step:
    return replace(step, sbuf_bytes=0)


def _own_values(step: Step, spec: Elementwise) -> Step:
    """What is sought is not what the op seeks."""
    data, _ = spec.cover.reads
    return _cover(step, spec, reads=(data,), params={"value": 1.0})


BROKEN: list[tuple[str, str, Change]] = [
    ("meaning", "tensor_scalar_cumulative", _by_maximum),
    ("meaning", "tensor_scalar_cumulative", _doubled),
    ("loops", "top", _several_rows),
    ("loops", "tensor_scalar_cumulative", _several_rows),
    ("loops", "top", _row_in_pieces),
    ("meaning", "find", _no_row),
    ("slots", "find", _own_values),
    ("layouts", "top", _rows_on_partitions),
    ("tile sizes", "top", _no_scratch),
    ("tile sizes", "find", _no_scratch),
]


def test_the_plan_is_accepted_as_it_is() -> None:
    plan = _plan()
    check_plan(plan.program, plan.data, plan.target)


@pytest.mark.parametrize(("rule", "instruction", "change"), BROKEN)
def test_rejects(rule: str, instruction: str, change: Change) -> None:
    plan = _plan()
    with pytest.raises(cp.PlanError, match=re.escape(f"breaks rule {rule!r}: ")):
        check_plan(plan.program, _spoiled(instruction, change), plan.target)
