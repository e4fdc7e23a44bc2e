"""Which of an op's candidates a solve may use at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.solver.candidates import Candidate

Admit = Callable[[FactorOp, Sequence[Candidate]], Sequence[Candidate]]
"""Some of the candidates of an op, all of which end with it."""


def everything(_: FactorOp, found: Sequence[Candidate]) -> Sequence[Candidate]:
    """All candidates."""
    return found


def sparing(engine: str) -> Admit:
    """Inside loops, no candidate of the engine for what another one can do."""

    def admit(op: FactorOp, found: Sequence[Candidate]) -> Sequence[Candidate]:
        done = {(c.ops, c.makes) for c in found if engine not in c.busy_ns}
        return [
            c for c in found if not (op.path and engine in c.busy_ns and (c.ops, c.makes) in done)
        ]

    return admit
