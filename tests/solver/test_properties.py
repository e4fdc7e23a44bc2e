"""What holds for every solve: greedy >= objective >= bound, monotone in SBUF, reproducible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import nkigen_cp as cp
from nkigen_cp.solver.instance import build_instance
from nkigen_cp.solver.search import Progress, search
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure import Structure, structured
from tests.solver.programs import LARGER, TINY, Tiny


def _tanh(x: Any, first: Any) -> Any:
    del first
    return np.tanh(x)


def _centre(x: Any, first: Any) -> Any:
    del first
    return x - np.max(x, axis=-1, keepdims=True)


def _add(x: Any, first: Any) -> Any:
    return x + first if x.shape == first.shape else x * 0.5 + 1


def _gram(x: Any, first: Any) -> Any:
    del first
    return x @ x.T


def _turn(x: Any, first: Any) -> Any:
    del first
    return np.tanh(np.transpose(x))


def _squared(x: Any) -> Any:
    return np.tanh(x) * x


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "tanh": _tanh,
    "centre": _centre,
    "add": _add,
    "gram": _gram,
    "turn": _turn,
}
SIZES = st.sampled_from([16, 48, 128, 130])

few = settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def _program(steps: Sequence[str]) -> Callable[[Any], Any]:
    def program(x: Any) -> Any:
        value = x
        for step in steps:
            value = STEPS[step](value, x)
        return value + 0.25

    return program


@few
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4), m=SIZES, n=SIZES)
def test_greedy_is_above_the_objective_and_that_above_the_bound(
    steps: list[str], m: int, n: int
) -> None:
    seen: list[Progress] = []
    plan = Tiny(function=_program(steps), shapes=((m, n),)).plan(on_progress=seen.append)
    assert seen[0].bound_ns is None  # the greedy plan comes before any bound
    assert seen[0].objective_ns + 1 > plan.objective_ns >= plan.bound_ns > 0
    assert plan.gap == (plan.objective_ns - plan.bound_ns) / plan.objective_ns


@settings(few, phases=[Phase.generate])  # two numbers need no shrinking, which takes minutes here
@given(
    sizes=st.lists(st.integers(40_000, 120_000), min_size=2, max_size=2, unique=True).map(sorted)
)
def test_more_sbuf_is_never_worse_for_the_same_loops(sizes: list[int]) -> None:
    """Which loops are tried depends on SBUF, by estimate; the optimum of each is monotone."""
    targets = [replace(cp.TRN2, sbuf_partition_bytes=n) for n in sizes]
    plan = LARGER["streamed"].plan(targets[0])
    own = tuple(k for k in plan.data.loops if k.digits)
    core = canonical(plan.graph, plan.options)
    program = structured(core, Structure(cuts=plan.data.cuts, loops=own))
    less, more = (
        search(build_instance(program, t), None, effort="fast", seed=0, workers=2) for t in targets
    )
    assert (less.status, more.status) == ("OPTIMAL", "OPTIMAL")
    assert more.bound <= less.bound


def test_little_sbuf_costs_time() -> None:
    small = replace(cp.TRN2, sbuf_partition_bytes=40_000)
    assert LARGER["streamed"].plan(small).objective_ns > LARGER["streamed"].plan().objective_ns


@pytest.mark.parametrize("name", ["softmax", "bias", "spread"])
def test_the_same_request_gives_the_same_bytes(name: str) -> None:
    tiny = {**TINY, **LARGER}[name]
    first, second = tiny.plan(), tiny.plan()
    assert first.deterministic
    assert first.to_json() == second.to_json()


def test_too_large_for_sbuf_names_the_tensors() -> None:
    wide = Tiny(function=_squared, shapes=((128, 100_000),))
    with pytest.raises(cp.Infeasible, match=r"SBUF of 512 B .* x \(400000 B\)"):
        wide.plan(replace(cp.TRN2, sbuf_partition_bytes=512))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"effort": "some"}, "effort='some' is not one of fast, balanced, max"),
        ({"workers": 0}, "workers=0 must be at least 1"),
    ],
)
def test_options_out_of_range(option: dict[str, Any], message: str) -> None:
    with pytest.raises(cp.ArgumentError, match=message):
        TINY["chain"].plan(**option)


def test_unknown_precision() -> None:
    with pytest.raises(cp.NkigenError, match="matmul_precision='fp4'"):
        TINY["bias"].plan(matmul_precision="fp4")


def test_not_a_graph() -> None:
    nothing: Any = "graph"
    with pytest.raises(cp.ArgumentError, match="solve takes a Graph"):
        cp.solve(nothing)
