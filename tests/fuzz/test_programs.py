"""Random programs through the whole compiler: simulated, and emitted for the checker.

``make test`` repeats the same few hundred, in blocks; ``make fuzz`` runs as many as
``NKIGEN_CP_FUZZ_EXAMPLES`` says in one go, from other seeds, prints what they reached, and wants
every row of it reached.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from nkigen_cp.errors import NkigenError
from tests.fuzz import tally
from tests.fuzz.generate import generate
from tests.fuzz.judge import check_emitted
from tests.fuzz.pipeline import Done, WrongError, run
from tests.fuzz.program import Program
from tests.fuzz.shrink import shrink

EXAMPLES = int(os.environ.get("NKIGEN_CP_FUZZ_EXAMPLES", "0"))
FIRST = int(os.environ.get("NKIGEN_CP_FUZZ_SEED", "100000"))
BLOCK, BLOCKS = 25, 10
SEEN_IN_TESTS_MIN = 0.9
"""Share of the report's rows that every run of the tests reaches."""


def _failure(program: Program) -> str | None:
    """What is wrong with a program, in a form that is the same for the same defect."""
    try:
        run(program)
    except (NkigenError, WrongError) as error:
        return type(error).__name__
    except Exception as error:  # any other exception is a defect, too
        return f"{type(error).__name__}: {error}"
    return None


def compiled(program: Program) -> Done:
    """The program, compiled and compared; a failure shows it as small as it gets."""
    try:
        return run(program)
    except Exception as error:
        kind = _failure(program)
        small = shrink(program, lambda p: _failure(p) == kind)
        message = f"{error}\n\n{small.describe()}\nfrom\n\n{program.describe()}"
        raise AssertionError(message) from error


@pytest.mark.skipif(EXAMPLES > 0, reason="a long run draws its own programs")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_programs(block: int, tmp_path: Path) -> None:
    seeds = range(block * BLOCK, (block + 1) * BLOCK)
    done = [compiled(generate(seed)) for seed in seeds]
    check_emitted(tmp_path, done)


@pytest.mark.slow
@pytest.mark.skipif(EXAMPLES == 0, reason="NKIGEN_CP_FUZZ_EXAMPLES says how many")
def test_many_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = Counter[str]()
    for start in range(0, EXAMPLES, BLOCK):
        seeds = range(FIRST + start, FIRST + min(EXAMPLES, start + BLOCK))
        done = [compiled(generate(seed)) for seed in seeds]
        total += sum((d.tally for d in done), Counter[str]())
        folder = tmp_path / str(start)
        folder.mkdir()
        check_emitted(folder, done)
    with capsys.disabled():
        print(f"\n{tally.report(total)}")
    assert not tally.missing(total), f"never reached: {', '.join(tally.missing(total))}"
