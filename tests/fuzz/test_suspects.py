"""Programs aimed at one thing each, through the whole compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nkigen_cp as cp
from tests.fuzz import tally
from tests.fuzz.judge import check_emitted
from tests.fuzz.nests import NESTED, SIZED
from tests.fuzz.shrink import compiled
from tests.fuzz.suspects import INTEGERS, SUSPECTS, Suspect

AIMED: dict[str, Suspect] = {**SUSPECTS, **NESTED, **SIZED}
GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_suspects(group: int, tmp_path: Path) -> None:
    names = list(AIMED)[group::GROUPS]
    done = {name: compiled(AIMED[name].program) for name in names}
    for name, one in done.items():
        missing = [row for row in AIMED[name].reaches if not one.tally[row]]
        assert one.kernel is not None, f"{name!r} does not fit"
        assert not missing, f"{name!r} does not reach {', '.join(missing)}"
    check_emitted(tmp_path, [*done.values()])


def test_rows_have_a_suspect() -> None:
    """Every feature has a program of its own that reaches it."""
    reached = {row for s in AIMED.values() for row in s.reaches}
    features = (*tally.FEATURES, *tally.RARE_FEATURES)
    assert [row for row in features if row not in reached] == []


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_exact_or_refused(name: str) -> None:
    program = INTEGERS[name].program
    graph = cp.trace(program.function, *program.arrays)
    try:
        kernel = cp.lower(cp.solve(graph, effort="fast"))
    except cp.NkigenError as error:
        refusal = str(error)
        assert "int32" in refusal
        return
    got = cp.simulate(kernel, *program.arrays)
    want = cp.interpret(graph, *program.arrays)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0 if one.dtype.kind == "i" else 1e-5)
