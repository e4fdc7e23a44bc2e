"""Requests that cannot be met: the conflict is minimal, and says what would help."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

import nkigen_cp as cp
from nkigen_cp.solver.plan.pins import AnyPin, demands
from tests.api import pinned

LARGE = 1 << 22
SBUF = "SBUF"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Pins, the SBUF there is, and the members of the one conflict."""

    pins: tuple[AnyPin, ...] = ()
    sbuf: int = cp.TRN2.sbuf_partition_bytes
    core: tuple[str, ...]
    resource: str

    def solve(self, pins: Sequence[AnyPin], sbuf: int) -> cp.Plan:
        target = replace(cp.TRN2, sbuf_partition_bytes=sbuf)
        return cp.solve(pinned.graph(), target, effort="fast", pins=pins)


ASKED = {
    "a tile over 128 partitions": Request(
        pins=(cp.pin("scores", tile=256),), core=("scores.tile=256",), resource="partitions"
    ),
    "an engine without the function": Request(
        pins=(cp.pin("e", engine="gpsimd"), cp.pin("scores", partition="q")),
        core=("e.engine=gpsimd",),
        resource="engine",
    ),
    "an instruction that does something else": Request(
        pins=(cp.pin("max_1", instruction="activation"),),
        core=("max_1.instruction=activation",),
        resource="instruction",
    ),
    "few partitions and a large tile": Request(
        pins=(cp.pin("e", partition="h"), cp.pin("scores", engine="scalar")),
        core=("e.partition=h", SBUF),
        resource=SBUF,
    ),
    "an axis that the stationary operand lacks": Request(
        pins=(cp.pin("scores", partition="q", stationary="k"), cp.pin("e", partition="q")),
        core=("scores.partition=q", "scores.stationary=k"),
        resource="pins",
    ),
    "both operands stationary": Request(
        pins=(cp.pin("scores", stationary="k"), cp.pin("scores", stationary="q")),
        core=("scores.stationary=k", "scores.stationary=q"),
        resource="pins",
    ),
    "two axes": Request(
        pins=(cp.pin("e", partition="k"), cp.pin("e", partition="q")),
        core=("e.partition=k", "e.partition=q"),
        resource="pins",
    ),
    "two places": Request(
        pins=(cp.pin("scores", residency="resident"), cp.pin("scores", residency="spill")),
        core=("scores.residency=resident", "scores.residency=spill"),
        resource="pins",
    ),
    "loaded once and every time": Request(
        pins=(cp.pin("k", residency="stream"), cp.pin("k", residency="resident")),
        core=("k.residency=resident", "k.residency=stream"),
        resource="pins",
    ),
    "a target with too little SBUF": Request(sbuf=64, core=(SBUF,), resource=SBUF),
    "more on the chip than it holds": Request(
        pins=(cp.pin("scores", residency="resident"), cp.pin("max_1", residency="resident")),
        sbuf=3500,
        core=("scores.residency=resident", SBUF),
        resource=SBUF,
    ),
}


def _refused(request: Request) -> cp.Infeasible:
    with pytest.raises(cp.Infeasible) as caught:
        request.solve(request.pins, request.sbuf)
    return caught.value


@pytest.mark.parametrize("case", ASKED)
def test_the_core_is_minimal(case: str) -> None:
    request = ASKED[case]
    (conflict,) = _refused(request).report.conflicts
    members = [SBUF if m.startswith(SBUF) else m for m in conflict.members]
    assert sorted(members) == sorted(request.core)
    assert conflict.resource == request.resource
    wanted = {str(d): d.pin for d in demands(request.pins)}
    for gone in members:
        pins = [wanted[m] for m in members if m not in (gone, SBUF)]
        plan = request.solve(pins, LARGE if gone == SBUF else request.sbuf)
        assert plan.options.pins == tuple(pins)


def test_what_the_memory_would_have_to_hold_is_stated() -> None:
    error = _refused(ASKED["few partitions and a large tile"])
    (conflict,) = error.report.conflicts
    assert conflict.demand is not None
    assert conflict.bound == cp.TRN2.sbuf_partition_bytes
    assert conflict.gap == conflict.demand - cp.TRN2.sbuf_partition_bytes
    assert sum(t.amount for t in conflict.terms) == conflict.demand
    assert f"a target with {conflict.demand:,} B of SBUF" in conflict.levers
    request = ASKED["few partitions and a large tile"]
    assert request.solve(request.pins, conflict.demand).options.pins == request.pins


def test_the_report_is_text_and_json() -> None:
    error = _refused(ASKED["an engine without the function"])
    assert "e.engine=gpsimd: nothing that trn2 can do meets this; offered is scalar" in str(error)
    assert str(error) == str(error.report)
    (entry,) = json.loads(error.report.to_json())["conflicts"]
    assert entry["members"] == ["e.engine=gpsimd"]
    assert entry["levers"] == ["drop e.engine=gpsimd", "engine=scalar"]
    assert entry["gap"] is None


def test_two_conflicts_of_one_request_are_both_found() -> None:
    pins = (cp.pin("e", engine="gpsimd"), cp.pin("scores", tile=256))
    error = _refused(Request(pins=pins, core=(), resource=""))
    assert {c.members for c in error.report.conflicts} == {
        ("e.engine=gpsimd",),
        ("scores.tile=256",),
    }
