"""Decisions -> steps over forms: the moves just before their first use, stores behind producers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nkigen_cp.solver.candidates import Candidate, Move
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.moves import identity_store
from nkigen_cp.solver.plan import Form, Step, Store, Use
from nkigen_cp.solver.plan.layout import Layout


@dataclass(slots=True)
class _Assembly:
    instance: Instance
    decisions: Decisions
    steps: list[Step] = field(default_factory=list[Step])
    forms: dict[str, Form] = field(default_factory=dict[str, Form])

    def form(self, tensor: str, layout: Layout | None, suffix: str = "") -> str:
        name = f"{tensor}@{self._home(tensor) if layout is None else layout}{suffix}"
        return self.named(name, tensor, layout)

    def _home(self, tensor: str) -> str:
        """A spilled output gets a scratch of its own; its output buffer is written once."""
        spilled = self.decisions.spilled.get(tensor, ())
        return "spill" if spilled and tensor in self.instance.program.outputs else "hbm"

    def named(self, name: str, tensor: str, layout: Layout | None) -> str:
        """The form of that name, born at the next step if it is new."""
        if name not in self.forms:
            size = 0 if layout is None else self.instance.choices[tensor].sizes[layout]
            self.forms[name] = Form(
                name=name,
                tensor=tensor,
                layout=layout,
                partition_bytes=size,
                first_step=len(self.steps),
                last_step=len(self.steps),
            )
        return name

    def step(self, step: Step) -> None:
        position = len(self.steps)
        self.steps.append(replace(step, group=position))
        for use in (*step.reads, *step.writes):
            self.forms[use.form] = replace(self.forms[use.form], last_step=position)


def assemble(instance: Instance, decisions: Decisions) -> tuple[list[Step], list[Form]]:
    """The executable order of a set of decisions; forms carry their exact lifetimes."""
    a = _Assembly(instance, decisions)
    by_root = {instance.candidates[i].ops[-1]: instance.candidates[i] for i in decisions.chosen}
    for op in instance.order:
        candidate = by_root.get(op)
        if candidate is not None:
            _execute(a, op, candidate)
    return a.steps, list(a.forms.values())


def _execute(a: _Assembly, op: str, candidate: Candidate) -> None:
    reads: list[Use] = []
    for need in candidate.needs:
        if need.layout is None:
            form = a.form(need.tensor, None)
        elif (need.tensor, need.layout, op) in a.decisions.visiting:
            form = _visit(a, need.tensor, need.layout, op)
        else:
            form = _materialise(a, need.tensor, need.layout)
        reads.append(Use(slot=need.slot, form=form))
    writes = [Use(slot=m.slot, form=a.form(m.tensor, m.layout)) for m in candidate.makes]
    if isinstance(candidate.spec, Store):
        name = f"{candidate.spec.target.tensor}@hbm"
        a.named(name, candidate.spec.target.tensor, None)
        writes.append(Use(slot="dst", form=name))
    a.step(
        Step(
            name=op,
            group=0,
            spec=candidate.spec,
            reads=tuple(reads),
            writes=tuple(writes),
            busy_ns=candidate.busy_ns,
            sbuf_bytes=candidate.sbuf_bytes,
            psum_banks=candidate.psum_banks,
        )
    )
    for make in candidate.makes:
        if make.layout is not None and make.layout in a.decisions.spilled.get(make.tensor, ()):
            _spill(a, make.tensor, make.layout, op)


def _spill(a: _Assembly, tensor: str, layout: Layout, op: str) -> None:
    if a.instance.choices[tensor].producers[-1] not in _ops_ending(a, op):
        return
    spec = identity_store(a.instance.program.tensors[tensor], f"spill.{tensor}")
    a.step(
        Step(
            name=f"spill.{tensor}",
            group=0,
            spec=spec,
            reads=(Use(slot="src", form=a.form(tensor, layout)),),
            writes=(Use(slot="dst", form=a.form(tensor, None)),),
            busy_ns={"dma": a.instance.choices[tensor].spills[layout]},
        )
    )


def _ops_ending(a: _Assembly, op: str) -> tuple[str, ...]:
    found = (a.instance.candidates[i] for i in a.decisions.chosen)
    return next(c.ops for c in found if c.ops[-1] == op)


def _visit(a: _Assembly, tensor: str, layout: Layout, op: str) -> str:
    choice = a.instance.choices[tensor]
    move = next(m for m in choice.moves if m.source is None and m.target == layout)
    known = len(a.forms)
    target = a.form(tensor, layout, f"#{op}")
    if len(a.forms) > known:
        _move(a, move, target)
    return target


def _materialise(a: _Assembly, tensor: str, layout: Layout) -> str:
    name = f"{tensor}@{layout}"
    if name in a.forms:
        return name
    choice = a.instance.choices[tensor]
    moves = [choice.moves[j] for j in a.decisions.moved.get(tensor, ())]
    move = min(
        (m for m in moves if m.target == layout),
        key=lambda m: sum(m.busy_ns.values()),
    )
    _move(a, move, None)
    return name


def _move(a: _Assembly, move: Move, target: str | None) -> None:
    reads: tuple[Use, ...] = ()
    if move.source is not None:
        reads = (Use(slot="src", form=_materialise(a, move.tensor, move.source)),)
    elif move.tensor not in a.instance.generated:
        reads = (Use(slot="src", form=a.form(move.tensor, None)),)
    form = target or a.form(move.tensor, move.target)
    kind = type(move.spec).__name__.lower()
    a.step(
        Step(
            name=f"{kind}.{form}",
            group=0,
            spec=move.spec,
            reads=reads,
            writes=(Use(slot="dst", form=form),),
            busy_ns=move.busy_ns,
            sbuf_bytes=move.sbuf_bytes,
            psum_banks=move.psum_banks,
        )
    )
