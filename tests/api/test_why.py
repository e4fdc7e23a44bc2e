"""Questions to a plan: what an alternative costs, what moves with it, or what forbids it."""

from __future__ import annotations

import json

import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError
from nkigen_cp.report.why import Answer
from nkigen_cp.solver.plan.pins import AnyPin
from tests.api import pinned

POSSIBLE: dict[str, AnyPin] = {
    "another axis": cp.pin("scores", partition="k"),
    "spilled": cp.pin("scores", residency="spill"),
    "another engine": cp.pin("scores", engine="scalar"),
    "the other operand": cp.pin("scores", stationary="k"),
}


def _asked(one: AnyPin) -> Answer:
    return pinned.plan().why(one)


@pytest.mark.parametrize("case", POSSIBLE)
def test_the_change_is_that_between_two_full_solves(case: str) -> None:
    one = POSSIBLE[case]
    answer, free, full = _asked(one), pinned.plan(), pinned.plan(one)
    assert answer.possible
    assert answer.after is not None
    assert answer.change_ns is not None
    change = full.objective_ns - free.objective_ns
    assert abs(answer.change_ns - change) <= 0.02 * free.objective_ns
    assert answer.after.bound_ns <= answer.after.objective_ns
    estimates = [cp.estimate(cp.lower(p)).latency_ns for p in (free, full)]
    assert answer.before.estimate_ns == pytest.approx(estimates[0])
    assert answer.estimate_change_ns == pytest.approx(
        estimates[1] - estimates[0], abs=0.02 * estimates[0]
    )


def test_what_moves_is_said_in_the_users_words() -> None:
    answer = pinned.plan().why("scores", partition="k")
    moved = {(c.what, c.name): c for c in answer.moved}
    tensor = moved["tensor", "scores"]
    assert "k (128 of 256)" in tensor.after
    assert "k (128 of 256)" not in tensor.before
    assert moved["move", "transposes scores"].before == ""
    text = str(answer)
    assert text.startswith("scores.partition=k is possible.")
    assert "transposes scores: nc_transpose on tensor" in text
    assert f"{answer.after.objective_ns:,} ns instead of" in text if answer.after else False


def test_what_the_plan_does_anyway_costs_nothing() -> None:
    answer = pinned.plan().why("scores", partition="q")
    assert answer.change_ns == 0
    assert answer.moved == ()
    assert "scores.partition=q is what the plan does." in str(answer)


def test_what_is_impossible_says_why() -> None:
    answer = pinned.plan().why("e", engine="gpsimd")
    assert not answer.possible
    assert answer.change_ns is None
    assert answer.conflicts is not None
    assert answer.conflicts.conflicts[0].members == ("e.engine=gpsimd",)
    assert "e.engine=gpsimd is impossible." in str(answer)
    assert json.loads(answer.to_json())["conflicts"][0]["levers"][1] == "engine=scalar"


def test_a_question_may_need_other_loops() -> None:
    answer = pinned.plan().why(cp.fuse("scores", "e"))
    assert answer.possible
    moved = {c.name: c for c in answer.moved if c.what == "op"}
    assert "in the loops" in moved["scores"].after
    assert "in the loops" in moved["e"].after


def test_the_pins_of_the_plan_stay() -> None:
    plan = pinned.plan(cp.pin("scores", partition="k"))
    answer = plan.why("scores", stationary="q")
    assert answer.conflicts is not None
    (conflict,) = answer.conflicts.conflicts
    assert set(conflict.members) == {"scores.partition=k", "scores.stationary=q"}


def test_an_answer_is_json() -> None:
    answer = pinned.plan().why("scores", engine="scalar")
    data = json.loads(answer.to_json())
    assert data["question"] == "scores.engine=scalar"
    assert data["change_ns"] == answer.change_ns
    assert data["after"]["bound_ns"] == data["after"]["objective_ns"]
    assert data["conflicts"] is None


def test_a_question_about_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'scores'"):
        pinned.plan().why("score", partition="k")
    with pytest.raises(ArgumentError, match="asks for nothing"):
        pinned.plan().why("scores")
