"""More of anything never makes the optimal plan worse, without loops and inside given ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

import nkigen_cp as cp
from nkigen_cp.solver.structure import Structure
from tests.solver.nests import NESTS, nested_plan
from tests.solver.programs import LARGER


def _more_sbuf(target: cp.Target) -> cp.Target:
    return replace(target, sbuf_partition_bytes=target.sbuf_partition_bytes * 3 // 2)


def _more_psum(target: cp.Target) -> cp.Target:
    return replace(target, psum_banks=2 * target.psum_banks)


def _more_bandwidth(target: cp.Target) -> cp.Target:
    faster = replace(target.dma, bytes_per_ns_per_engine=1.5 * target.dma.bytes_per_ns_per_engine)
    return replace(target, dma=faster, hbm_bytes_per_ns=1.5 * target.hbm_bytes_per_ns)


MORE: dict[str, Callable[[cp.Target], cp.Target]] = {
    "SBUF": _more_sbuf,
    "PSUM": _more_psum,
    "bandwidth": _more_bandwidth,
}
PROGRAMS = ("spread", "attention", "crossing spilled")


@cache
def _plan(name: str, more: str = "") -> cp.Plan:
    """The best plan of a program on its target, or on that with more of something."""
    target = NESTS[name].target if name in NESTS else cp.TRN2
    target = MORE[more](target) if more else target
    if name in NESTS:
        return nested_plan(NESTS[name].graph(), NESTS[name].structure(), target=target)
    return nested_plan(LARGER[name].graph(), Structure(), target=target)


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("name", PROGRAMS)
def test_more_is_never_worse(name: str, more: str) -> None:
    before, after = _plan(name), _plan(name, more)
    assert (before.status, after.status) == ("OPTIMAL", "OPTIMAL")
    assert after.objective_ns <= before.objective_ns


def test_what_is_scarce_costs_time() -> None:
    """Otherwise the test above could not fail."""
    scarce = _plan("crossing spilled")
    assert scarce.residency["exps"] == "spilled"
    assert _plan("crossing spilled", "SBUF").objective_ns < scarce.objective_ns
    assert _plan("crossing spilled", "bandwidth").objective_ns < scarce.objective_ns
