"""What every rule of the checker sees, and the small queries they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import FactorOp, FactorTensor, Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.solver.plan import Contract, Cover, Elementwise, Form, PlanData, Run, Step
from nkigen_cp.targets.target import Target

EVICTORS = ("vector", "scalar")
"""Engines that may read PSUM and write SBUF."""

COPIES = 4
"""PSUM tiles of one step take turns in half of the banks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A plan beside the program it is for. ``forms`` and the op lists are indexed by name.

    ``whole`` is the program under the plan's cuts before any loop takes a digit of an op; None if
    the given program was not cut so.
    """

    program: Program
    plan: PlanData
    target: Target
    forms: Mapping[str, Form]
    loops: Mapping[str, Loop]
    whole: Program | None
    producers: Mapping[str, tuple[FactorOp, ...]]
    consumers: Mapping[str, tuple[FactorOp, ...]]

    @property
    def unlooped(self) -> Mapping[str, FactorOp]:
        """The ops of the program without loops."""
        return self.whole.ops if self.whole is not None else {}

    def tensor(self, name: str) -> FactorTensor:
        return self.program.tensors[name]

    def held(self, form: str) -> FactorTensor:
        """The tensor a form holds."""
        return self.program.tensors[self.forms[form].tensor]

    def trips(self, path: Sequence[str]) -> int:
        """How often what lies inside these nested loops runs."""
        return math.prod(self.loops[name].trips for name in path)


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
    agreed = not any(uncut(program, cut) for cut in plan.cuts)
    return Facts(
        program=program,
        plan=plan,
        target=target,
        forms={f.name: f for f in plan.forms},
        loops={k.name: k for k in plan.loops},
        whole=refine(program.graph, plan.cuts) if agreed else None,
        producers={t: tuple(ops) for t, ops in producers.items()},
        consumers={t: tuple(ops) for t, ops in consumers.items()},
    )


def uncut(program: Program, cut: Cut) -> str | None:
    """Why the factors of the program do not have a cut, or None if they do."""
    tensor = program.tensors.get(cut.tensor)
    if tensor is None or not 0 <= cut.dim < len(tensor.shape):
        return f"cuts dim {cut.dim} of {cut.tensor!r}, which does not exist"
    behind = math.prod(tensor.shape[cut.dim + 1 :])
    sizes = [f.size for f in tensor.factors]
    bounds = [math.prod(sizes[k:]) for k in range(len(sizes))]
    inside = 1 < cut.inner < tensor.shape[cut.dim]
    if not inside or cut.inner * behind not in bounds:
        return f"cuts dim {cut.dim} of {cut.tensor!r} at {cut.inner}, its factors are {sizes}"
    return None


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

    def form(self, slot: str) -> str | None:
        """The form of a slot; None for what never materialises."""
        uses = (*self.step.reads, *self.step.writes)
        return next((u.form for u in uses if u.slot == slot), None)


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
