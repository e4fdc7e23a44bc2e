"""The timeline against published figures and the order effects of hand-tuned kernels."""

from __future__ import annotations

import pytest

from benchmarks.timeline.effects import attention, late_load, matmul_order
from benchmarks.timeline.kernels import LADDER, TUTORIAL
from benchmarks.timeline.published import (
    EFFECTS,
    LADDER_PERCENT,
    LADDER_POINTS,
    TUTORIAL_MS,
    TUTORIAL_TOLERANCE,
    Effect,
    gap_everywhere,
    ladder,
    misranked,
    tutorial,
)
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.targets import TRN2

HAND_WRITTEN = {
    **LADDER,
    **TUTORIAL,
    "attention": lambda: attention(4),
    "late load": lambda: late_load(late=True),
    "order": lambda: matmul_order(k_inner=False, engines=("vector", "scalar")),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_the_kernels_obey_the_hardware(name: str) -> None:
    made: Kernel = HAND_WRITTEN[name]()
    verify_kernel(made, TRN2)


def test_the_matmul_ladder() -> None:
    found = ladder()
    assert misranked(LADDER_PERCENT, found) == []
    for name, percent in LADDER_PERCENT.items():
        assert found[name] == pytest.approx(percent, abs=LADDER_POINTS), name


def test_the_tutorial() -> None:
    found = tutorial()
    assert misranked(TUTORIAL_MS, found) == []
    for name, published in TUTORIAL_MS.items():
        assert found[name] == pytest.approx(published, rel=TUTORIAL_TOLERANCE), name


def test_ranking_looks_at_distinct_pairs_only() -> None:
    published = {"a": 1.0, "b": 2.0, "c": 2.01}
    assert misranked(published, {"a": 3.0, "b": 2.0, "c": 1.0}) == ["a and b", "a and c"]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda e: e.name)
def test_order_effects_have_the_right_size(effect: Effect) -> None:
    modelled = effect.modelled()
    if effect.published < 0.01:
        assert abs(modelled) < 0.01
    else:
        assert effect.published / 2 <= modelled <= effect.published * 2


def test_the_order_of_attention_speaks_against_a_gap_after_every_instruction() -> None:
    effect = next(e for e in EFFECTS if "distance 2" in e.name)
    assert effect.modelled(gap_everywhere()) < effect.published / 2


@pytest.mark.parametrize("engine", ["tensor", "vector", "scalar", "gpsimd"])
def test_the_other_reading_moves_the_gap_into_every_instruction(engine: str) -> None:
    facts, other = TRN2.engines[engine], gap_everywhere().engines[engine]
    assert other.gap_ns == 0.0
    for added in (
        other.start_cycles - facts.start_cycles,
        other.min_issue_cycles - facts.min_issue_cycles,
    ):
        assert added / facts.clock_ghz == pytest.approx(facts.gap_ns, abs=0.6)
