"""An earlier plan as the start of a search: its steps found again among the candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.solver.choices import Choice
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Form, PlanData, Step
from nkigen_cp.solver.plan.layout import Layout

_VISIT = "#"

Forms = Mapping[str, Form]


def decisions_of(instance: Instance, plan: PlanData) -> Decisions | None:
    """The decisions that a plan stands for, or None if the instance does not offer them all.

    That is so for a plan of another target or precision, of other cuts or loops, or one of other
    candidates.
    """
    if not _same_nest(instance.program, plan):
        return None
    forms = {f.name: f for f in plan.forms}
    reused = _reused(instance, plan, forms)
    found = _Found()
    if reused is None or not all(found.add(instance, step, forms) for step in plan.steps):
        return None
    kept, passed = _held(instance, plan, found.spilled)
    return Decisions(
        chosen=tuple(sorted(found.chosen)),
        moved={t: tuple(sorted(js)) for t, js in sorted(found.moved.items())},
        kept=kept,
        passed=passed,
        spilled=_frozen(found.spilled),
        visiting=tuple(found.visiting),
        reused=reused,
    )


@dataclass(slots=True)
class _Found:
    """What the steps seen so far stand for."""

    chosen: list[int] = field(default_factory=list[int])
    moved: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    spilled: dict[str, list[Layout]] = field(default_factory=dict[str, list[Layout]])
    visiting: list[tuple[str, Layout, str]] = field(default_factory=list[tuple[str, Layout, str]])

    def add(self, instance: Instance, step: Step, forms: Forms) -> bool:
        """Note one step more; False if the instance does not offer it."""
        if step.name in instance.positions:
            candidate = _candidate(instance, step, forms)
            self.chosen += [] if candidate is None else [candidate]
            return candidate is not None
        form = forms[step.writes[0].form]
        choice = instance.choices.get(form.tensor)
        if choice is None:
            return False
        if form.layout is None:
            layout = forms[step.reads[0].form].layout
            if layout is None or layout not in choice.spills:
                return False
            self.spilled.setdefault(form.tensor, []).append(layout)
        elif _visits(form):
            self.visiting.append((form.tensor, form.layout, form.name.rsplit(_VISIT, 1)[1]))
        else:
            move = _move(choice, step, form, forms)
            if move is None:
                return False
            self.moved.setdefault(form.tensor, []).append(move)
        return True


def _same_nest(program: Program, plan: PlanData) -> bool:
    """Whether the plan has the program's cuts and loops, of those for pieces of inputs some."""
    named = [k.name for k in plan.loops]
    loops = tuple(k for k in program.loops.values() if k.digits or k.name in named)
    if plan.loops != loops or not _has(program, plan.cuts):
        return False
    whole = refine(program.graph, plan.cuts)
    return all(program.tensors.get(name) == tensor for name, tensor in whole.tensors.items())


def _has(program: Program, cuts: Sequence[Cut]) -> bool:
    """Whether every cut lies between two factors of the program."""
    for cut in cuts:
        tensor = program.tensors.get(cut.tensor)
        if tensor is None or not 0 <= cut.dim < len(tensor.shape):
            return False
        inside = math.prod(tensor.shape[cut.dim + 1 :]) * cut.inner
        sizes = [f.size for f in tensor.factors]
        if inside not in [math.prod(sizes[k:]) for k in range(1, len(sizes))]:
            return False
    return True


def _candidate(instance: Instance, step: Step, forms: Forms) -> int | None:
    """The candidate that the step executes, reading and writing forms that it may use."""
    used = {u.slot: forms[u.form].layout for u in (*step.reads, *step.writes)}
    for i, c in enumerate(instance.candidates):
        if (c.ops[-1], c.path) != (step.name, step.path) or c.spec != step.spec:
            continue
        if all(used[n.slot] in _served(instance, n.tensor, n.layout, step.name) for n in c.needs):
            made = ((used[m.slot], _made(instance, m.tensor, m.layout)) for m in c.makes)
            if all(layout in places for layout, places in made):
                return i
    return None


Places = Sequence[Layout | None]


def _served(instance: Instance, tensor: str, layout: Layout | None, op: str) -> Places:
    """The forms in which the op may read what it needs in a layout; None is HBM."""
    choice = instance.choices[tensor]
    return (None,) if layout is None else choice.served.get((layout, op), ())


def _made(instance: Instance, tensor: str, layout: Layout | None) -> Places:
    """The forms to which a result in a layout may be written."""
    return (None,) if layout is None else instance.choices[tensor].made.get(layout, ())


def _visits(form: Form) -> bool:
    """Whether the form is the short-lived copy of one op."""
    return _VISIT in form.name.removeprefix(f"{form.tensor}@")


def _move(choice: Choice, step: Step, form: Form, forms: Forms) -> int | None:
    source = forms[step.reads[0].form].layout if step.reads else None
    for j, move in enumerate(choice.moves):
        if (move.source, move.target, move.spec) == (source, form.layout, step.spec):
            return j
    return None


def _reused(instance: Instance, plan: PlanData, forms: Forms) -> tuple[int, ...] | None:
    """The reuses behind results that lie over operands; accumulators do so by themselves."""
    known = {
        (r.operand, r.operand_form, r.result, r.result_form): k
        for k, r in enumerate(instance.reuses)
    }
    found: list[int] = []
    for form in plan.forms:
        before = forms.get(form.over) if form.over is not None else None
        if before is None or instance.program.carried.get(before.tensor) == form.tensor:
            continue
        if before.layout is None or form.layout is None:
            return None
        place = known.get((before.tensor, before.layout, form.tensor, form.layout))
        if place is None:
            return None
        found.append(place)
    return tuple(sorted(found))


def _held(
    instance: Instance, plan: PlanData, spilled: Mapping[str, Sequence[Layout]]
) -> tuple[dict[str, tuple[Layout, ...]], dict[str, tuple[Layout, ...]]]:
    """Forms that last for ops that read them, and those that only one move leaves.

    A form that nothing but its spill reads is neither.
    """
    ops = {u.form for s in plan.steps if s.name in instance.positions for u in s.reads}
    moves = [u.form for s in plan.steps if s.name not in instance.positions for u in s.reads]
    kept: dict[str, list[Layout]] = {}
    passed: dict[str, list[Layout]] = {}
    for form in plan.forms:
        if form.layout is None or _visits(form):
            continue
        spills = form.layout in spilled.get(form.tensor, ())
        left = moves.count(form.name) - spills
        if form.name in ops or left > 1 or not (left or spills):
            kept.setdefault(form.tensor, []).append(form.layout)
        elif left == 1:
            held = kept if spills else passed
            held.setdefault(form.tensor, []).append(form.layout)
    return _frozen(kept), _frozen(passed)


def _frozen(found: Mapping[str, Sequence[Layout]]) -> dict[str, tuple[Layout, ...]]:
    return {t: tuple(xs) for t, xs in sorted(found.items())}
