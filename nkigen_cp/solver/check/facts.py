"""What every rule of the checker sees, and the small queries they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import FactorOp, FactorTensor, Program
from nkigen_cp.solver.plan import Contract, Cover, Elementwise, Form, PlanData, Run, Step
from nkigen_cp.targets.target import Target

EVICTORS = ("vector", "scalar")
"""Engines that may read PSUM and write SBUF."""

COPIES = 2
"""PSUM tiles are double-buffered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A plan beside the program it is for. ``forms`` and the op lists are indexed by name."""

    program: Program
    plan: PlanData
    target: Target
    forms: Mapping[str, Form]
    producers: Mapping[str, tuple[FactorOp, ...]]
    consumers: Mapping[str, tuple[FactorOp, ...]]

    def tensor(self, name: str) -> FactorTensor:
        return self.program.tensors[name]

    def held(self, form: str) -> FactorTensor:
        """The tensor a form holds."""
        return self.program.tensors[self.forms[form].tensor]


Rule = Callable[[Facts], Iterator[str]]
"""Yields one sentence per breach, naming the step or form."""


def gather(program: Program, plan: PlanData, target: Target) -> Facts:
    """The facts of a plan; names are not yet checked."""
    producers: dict[str, list[FactorOp]] = {t: [] for t in program.tensors}
    consumers: dict[str, list[FactorOp]] = {t: [] for t in program.tensors}
    for op in program.ops.values():
        producers[op.output.tensor].append(op)
        for tensor in dict.fromkeys(a.tensor for a in op.accesses):
            consumers[tensor].append(op)
    return Facts(
        program=program,
        plan=plan,
        target=target,
        forms={f.name: f for f in plan.forms},
        producers={t: tuple(ops) for t, ops in producers.items()},
        consumers={t: tuple(ops) for t, ops in consumers.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A cover as its step executes it, over the digits of ``domain``.

    For the epilogue of a contraction the domain is the contraction, whose result ``psum`` is read
    out of PSUM; ``tiles`` are then the digits one PSUM tile spans, with their blocks.
    """

    step: Step
    spec: Elementwise
    domain: FactorOp
    psum: str | None = None
    tiles: Mapping[str, int] | None = None

    @property
    def cover(self) -> Cover:
        return self.spec.cover

    @property
    def run(self) -> Run:
        return self.spec.run

    @property
    def computed(self) -> tuple[str, ...]:
        """Ops the instruction itself computes; the contraction is the Tensor Engine's."""
        return self.cover.ops if self.psum is None else self.cover.ops[1:]


def covers(facts: Facts) -> Iterator[Covered]:
    """Every cover of the plan, epilogues of contractions included."""
    for step in facts.plan.steps:
        spec = step.spec
        if isinstance(spec, Elementwise):
            yield Covered(step=step, spec=spec, domain=facts.program.ops[spec.cover.root])
        elif isinstance(spec, Contract):
            op = facts.program.ops[spec.op]
            yield Covered(
                step=step,
                spec=spec.epilogue,
                domain=op,
                psum=op.output.tensor,
                tiles={t.digit: t.block for t in (*spec.items, *spec.moving)},
            )
