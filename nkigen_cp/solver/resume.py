"""An earlier plan as the start of a search: its steps found again among the candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.solver.choices import Choice, at_once
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Form, PlanData, Step, Use
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
    kept, passed = _held(instance, plan, found, reused)
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
    instance: Instance, plan: PlanData, found: _Found, reused: Sequence[int]
) -> tuple[dict[str, tuple[Layout, ...]], dict[str, tuple[Layout, ...]]]:
    """Forms that last for what reads them, and those that one move leaves at once.

    A form that nothing but its spill reads is neither.
    """
    ops = {u.form for s in plan.steps if s.name in instance.positions for u in s.reads}
    over = [(r.result, r.result_form) for r in (instance.reuses[i] for i in reused)]
    kept: dict[str, list[Layout]] = {}
    passed: dict[str, list[Layout]] = {}
    for form in plan.forms:
        x = form.layout
        if x is None or _visits(form):
            continue
        moves = [instance.choices[form.tensor].moves[j] for j in found.moved.get(form.tensor, ())]
        left = [m for m in moves if m.source == x]
        spills = x in found.spilled.get(form.tensor, ())
        lasts = form.name in ops or (form.tensor, x) in over
        if not (lasts or left) and spills:
            continue
        leaves = len(left) == 1 and at_once(left[0]) and _left_at_once(instance, plan, form)
        held = passed if leaves and not (lasts or spills) else kept
        held.setdefault(form.tensor, []).append(x)
    return _frozen(kept), _frozen(passed)


def _left_at_once(instance: Instance, plan: PlanData, form: Form) -> bool:
    """Whether no op comes between the form's last writer and the move out of it.

    Where loops of the writer have to end first, a form that is only passed waits for its reader.
    """
    written = max(k for k, s in enumerate(plan.steps) if _uses(s.writes, form))
    moved = next(k for k, s in enumerate(plan.steps) if _uses(s.reads, form))
    if form.layout is not None and len(plan.steps[written].path) > len(form.layout.home):
        return True
    return not any(s.name in instance.positions for s in plan.steps[written + 1 : moved])


def _uses(uses: Sequence[Use], form: Form) -> bool:
    return any(u.form == form.name for u in uses)


def _frozen(found: Mapping[str, Sequence[Layout]]) -> dict[str, tuple[Layout, ...]]:
    return {t: tuple(xs) for t, xs in sorted(found.items())}
