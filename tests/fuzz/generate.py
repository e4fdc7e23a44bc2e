"""Seed -> program."""

from __future__ import annotations

import random

from tests.fuzz.draft import Draft
from tests.fuzz.grammar import draw
from tests.fuzz.program import Program

DTYPES = (("float32",), ("bfloat16",), ("float32", "bfloat16"))
LINES_MAX = 7
TRIES = 40


def generate(seed: int) -> Program:
    """The program of a seed, always the same."""
    rng = random.Random(seed)
    draft = Draft(seed=seed, rng=rng, dtypes=rng.choice(DTYPES))
    draft.first_input()
    wanted = rng.randint(1, LINES_MAX)
    for _ in range(TRIES):
        if len(draft.lines) == wanted:
            break
        text = draw(rng).make(draft)
        if text:
            draft.take(text)
    returns = _returns(draft)
    read = {*returns, *(n for line in draft.lines for n in line.reads)}
    return Program(
        seed=seed,
        inputs=tuple(i for i in draft.inputs if i.name in read),
        lines=tuple(draft.lines),
        returns=returns,
        sbuf_bytes=_sbuf_bytes(draft, read),
    )


def _sbuf_bytes(draft: Draft, read: set[str]) -> int | None:
    """Mostly all there is, else too little for a wide weight, or for the largest values at once.

    Integer ops become many, with tensors that no message about the program's own would name.
    """
    rng = draft.rng
    if any(i.dtype == "int32" for i in draft.inputs):
        return None
    if any(i.shape[-1:] == (2000,) for i in draft.inputs if i.name in read):
        return rng.choice((10_000, 12_000, 14_000)) if rng.random() < 0.7 else None
    if rng.random() < 0.2:
        largest = max(v.size for v in draft.exact.values()) * 4 // 128
        return max(1024, int(largest * rng.choice((1.5, 2.0, 3.0))))
    return None


def _returns(draft: Draft) -> tuple[str, ...]:
    """Everything nobody reads, at times a value that is read as well, or an input as it is."""
    read = {n for line in draft.lines for n in line.reads}
    names = [line.name for line in draft.lines]
    found = [n for n in names if n not in read]
    if names and draft.rng.random() < 0.25:
        found.append(draft.rng.choice(names))
    if not found or draft.rng.random() < 0.05:
        found.append(draft.inputs[0].name)
    return tuple(dict.fromkeys(found))
