"""An earlier plan as the start of a search: its steps found again among the candidates."""

from __future__ import annotations

from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.choices import Choice
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Elementwise, Form, PlanData, Step
from nkigen_cp.solver.plan.layout import Layout

_VISIT = "#"


def decisions_of(instance: Instance, plan: PlanData) -> Decisions | None:
    """The decisions that a plan stands for, or None if the instance does not offer them all.

    That is so for a plan of another target or precision, or one of other candidates.
    """
    forms = {f.name: f for f in plan.forms}
    chosen: list[int] = []
    moved: dict[str, list[int]] = {}
    spilled: dict[str, list[Layout]] = {}
    visiting: list[tuple[str, Layout, str]] = []
    for step in plan.steps:
        if step.name in instance.positions:
            found = _candidate(instance, step)
            if found is None:
                return None
            chosen.append(found)
            continue
        form = forms[step.writes[0].form]
        choice = instance.choices.get(form.tensor)
        if choice is None:
            return None
        if form.layout is None:
            layout = forms[step.reads[0].form].layout
            if layout is None or layout not in choice.spills:
                return None
            spilled.setdefault(form.tensor, []).append(layout)
        elif _VISIT in form.name.removeprefix(f"{form.tensor}@"):
            visiting.append((form.tensor, form.layout, form.name.rsplit(_VISIT, 1)[1]))
        else:
            move = _move(choice, step, form, forms)
            if move is None:
                return None
            moved.setdefault(form.tensor, []).append(move)
    kept = _kept(plan)
    return Decisions(
        chosen=tuple(sorted(chosen)),
        moved={t: tuple(sorted(js)) for t, js in sorted(moved.items())},
        kept=kept,
        passed={},
        spilled={t: tuple(xs) for t, xs in sorted(spilled.items())},
        visiting=tuple(visiting),
    )


def _candidate(instance: Instance, step: Step) -> int | None:
    layouts = {u.slot: u.form for u in step.reads}
    for i, c in enumerate(instance.candidates):
        if c.ops[-1] != step.name or c.spec != step.spec:
            continue
        names = {n.slot: f"{n.tensor}@{n.layout or 'hbm'}" for n in c.needs}
        if all(_home(layouts[s]) == n for s, n in names.items()):
            return i
    return None


def _home(form: str) -> str:
    """The form's name as a candidate would call it: visits and spills are forms like others."""
    return form.split(_VISIT, maxsplit=1)[0].replace("@spill", "@hbm")


def _move(choice: Choice, step: Step, form: Form, forms: dict[str, Form]) -> int | None:
    source = forms[step.reads[0].form].layout if step.reads else None
    for j, move in enumerate(choice.moves):
        if (move.source, move.target, move.spec) == (source, form.layout, step.spec):
            return j
    return None


def _kept(plan: PlanData) -> dict[str, tuple[Layout, ...]]:
    kept: dict[str, list[Layout]] = {}
    scratch = {
        w.access.tensor
        for s in plan.steps
        if isinstance(s.spec, Elementwise)
        for w in s.spec.cover.writes
        if w.access.tensor in s.spec.cover.internal
    }
    for form in plan.forms:
        visit = _VISIT in form.name.removeprefix(f"{form.tensor}@")
        if form.layout is not None and not visit and form.tensor not in scratch:
            kept.setdefault(form.tensor, []).append(form.layout)
    return {t: tuple(xs) for t, xs in sorted(kept.items())}
