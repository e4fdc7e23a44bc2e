from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

import nkigen_cp as cp
from tests.solver.corruption import SMALL_SBUF
from tests.solver.programs import LARGER, TINY

PlanOf = Callable[[str], cp.Plan]


@cache
def _plan(name: str) -> cp.Plan:
    small = replace(cp.TRN2, sbuf_partition_bytes=SMALL_SBUF)
    return {**TINY, **LARGER}[name].plan(small if name == "streamed" else cp.TRN2)


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    """The plan of a small program by name, solved once."""
    return _plan
