"""DMAs of windows that share no factors with the whole in HBM reach it position by position."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.uses import accesses_of
from nkigen_cp.solver.plan import CHUNK, Contract, Load, Step, Store


def reached(facts: Facts) -> Iterator[str]:
    """One DMA takes more than one position along at most one factor of such a dim."""
    for step in facts.plan.steps:
        for use in (*step.reads, *step.writes):
            tensor = facts.forms[use.form].tensor
            if facts.forms[use.form].layout is None and not use.form.endswith("@spill"):
                for dim, names in _apart(facts, tensor):
                    if isinstance(step.spec, Contract):
                        yield f"step {step.name!r} streams {tensor!r}, of which dim {dim} is uneven"
                    elif isinstance(step.spec, (Load, Store)):
                        moving = [m for n in names for m in _moving(facts, step, tensor, n)]
                        if len(moving) > 1:
                            yield f"step {step.name!r} takes {moving} of {tensor!r} at once"


def _apart(facts: Facts, tensor: str) -> Iterator[tuple[int, list[str]]]:
    """Dims of a window whose factors count no equal parts of the whole, and these factors."""
    program = facts.program
    window = program.windows.get(tensor) or program.pieces.get(tensor)
    if window is None:
        return
    held = program.tensors[tensor]
    left = [(f.name, f.size) for f in held.factors]
    whole = program.graph.tensors[window.base].shape
    for dim, (size, all_of, offset) in enumerate(
        zip(held.shape, whole, window.offsets, strict=True)
    ):
        own: list[tuple[str, int]] = []
        while math.prod(n for _, n in own) < size:
            own.append(left.pop(0))
        inner = math.prod(n for _, n in own[1:])
        if len(own) > 1 and (all_of % inner or offset % inner):
            yield dim, [n for n, _ in own]


def _moving(facts: Facts, step: Step, tensor: str, factor: str) -> list[str]:
    """What one DMA of a step takes more than one of: positions of the factor, blocks of these."""
    spec = step.spec
    assert isinstance(spec, (Load, Store))
    held, accesses = facts.program.tensors[tensor], accesses_of(facts, step)
    ours, theirs = ("src", "dst") if isinstance(spec, Load) else ("dst", "src")
    names = [f.name for f in held.factors]
    digit = accesses[ours].index[names.index(factor)].digit
    size = held.factor(factor).size
    ends = (facts.forms[u.form] for u in (*step.reads, *step.writes))
    chip = next((f for f in ends if f.layout is not None), None)
    if digit is None or chip is None or chip.layout is None:
        return [] if digit is None or size == 1 else [factor]
    taken = {t.digit: t.block for t in spec.loops}
    of_chip = zip(facts.held(chip.name).factors, accesses[theirs].index, strict=True)
    outer = [f.name for f, i in of_chip if i.digit == digit] == [*chip.layout.partition[:1]]
    if not outer:
        return [factor] if min(size, taken.get(digit, size)) > 1 else []
    block = chip.layout.block
    blocks = taken.get(CHUNK, size // block) if size % block == 0 else 1
    return [factor] * (min(size, block) > 1) + [CHUNK] * (blocks > 1)
