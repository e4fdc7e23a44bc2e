"""Random programs through the whole compiler: simulated, and emitted for the checker.

``make test`` repeats the same few. ``make fuzz`` runs as many other ones as
``NKIGEN_CP_FUZZ_EXAMPLES`` says, from ``NKIGEN_CP_FUZZ_SEED`` on, prints what they reached, and
wants every row of that report reached.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz import tally
from tests.fuzz.generate import generate
from tests.fuzz.judge import check_emitted
from tests.fuzz.shrink import compiled

EXAMPLES = int(os.environ.get("NKIGEN_CP_FUZZ_EXAMPLES", "0"))
FIRST = int(os.environ.get("NKIGEN_CP_FUZZ_SEED", "100000")) if EXAMPLES else 0
BLOCK = 10
SEEDS = range(FIRST, FIRST + (EXAMPLES or 60))
TOTAL = Counter[str]()


@pytest.mark.parametrize("start", SEEDS[::BLOCK])
def test_programs(start: int, tmp_path: Path) -> None:
    seeds = range(start, min(start + BLOCK, SEEDS.stop))
    done = [compiled(generate(seed)) for seed in seeds]
    for one in done:
        TOTAL.update(one.tally)
    check_emitted(tmp_path, done)


if EXAMPLES:

    def test_every_row_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
        with capsys.disabled():
            print(f"\n{tally.report(TOTAL)}")
        assert not tally.missing(TOTAL)
