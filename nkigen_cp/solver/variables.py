"""The variables of the model, created once and shared by all constraint families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ortools.sat.python import cp_model

from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.choices import Choice, path_of
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout

FormKey = tuple[str, Layout]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Booleans of a plan.

    ``chosen[i]``: candidate i executes. ``kept[t, x]``: tensor t is held in layout x from its birth
    to its last use there. ``moved[t][j]``: move j of the tensor's choice is made.
    ``passed[t, x]``: t is in layout x just long enough to be moved into another one.
    ``spilled[t, x]``: t is stored to HBM from layout x. ``visiting[t, x, o]``: op o loads its own
    short-lived copy. ``reused[i]``: reuse i takes place. ``nests[n]`` bounds nest n's busy engines
    from above, ``makespan`` the whole kernel.
    """

    chosen: tuple[cp_model.IntVar, ...]
    kept: Mapping[FormKey, cp_model.IntVar]
    passed: Mapping[FormKey, cp_model.IntVar]
    moved: Mapping[str, tuple[cp_model.IntVar, ...]]
    spilled: Mapping[FormKey, cp_model.IntVar]
    visiting: Mapping[tuple[str, Layout, str], cp_model.IntVar]
    reused: tuple[cp_model.IntVar, ...]
    nests: Mapping[str, cp_model.IntVar]
    makespan: cp_model.IntVar


def create_variables(model: cp_model.CpModel, instance: Instance) -> Variables:
    """All variables, in the instance's order, named after what they decide."""
    kept: dict[FormKey, cp_model.IntVar] = {}
    passed: dict[FormKey, cp_model.IntVar] = {}
    moved: dict[str, tuple[cp_model.IntVar, ...]] = {}
    spilled: dict[FormKey, cp_model.IntVar] = {}
    visiting: dict[tuple[str, Layout, str], cp_model.IntVar] = {}
    for name, choice in instance.choices.items():
        for x in choice.layouts:
            kept[name, x] = model.new_bool_var(f"kept[{name},{x}]")
        for x in choice.departures:
            passed[name, x] = model.new_bool_var(f"passed[{name},{x}]")
        moved[name] = tuple(
            model.new_bool_var(f"moved[{name},{j}]") for j, _ in enumerate(choice.moves)
        )
        for x in choice.spills:
            spilled[name, x] = model.new_bool_var(f"spilled[{name},{x}]")
        if may_visit(choice):
            for x in loadable(choice):
                for o in choice.consumers:
                    if x.home or instance.path(o):
                        continue  # inside a loop, the form that lives for one iteration is it
                    visiting[name, x, o] = model.new_bool_var(f"visiting[{name},{x},{o}]")
    most_ns = upper_bound_ns(instance)
    return Variables(
        chosen=tuple(
            model.new_bool_var(f"chosen[{c.ops[-1]},{i}]")
            for i, c in enumerate(instance.candidates)
        ),
        kept=kept,
        passed=passed,
        moved=moved,
        spilled=spilled,
        visiting=visiting,
        reused=tuple(
            model.new_bool_var(f"reused[{r.operand},{r.result}]") for r in instance.reuses
        ),
        nests={n: model.new_int_var(0, most_ns, f"nest[{n}]") for n in _nests(instance)},
        makespan=model.new_int_var(0, most_ns, "makespan"),
    )


def _nests(instance: Instance) -> list[str]:
    """All nests in which something may run."""
    paths = [c.path for c in instance.candidates]
    paths += [path_of(m) for choice in instance.choices.values() for m in choice.moves]
    return list(dict.fromkeys(nest_of(p) for p in paths))


def may_visit(choice: Choice) -> bool:
    """Whether loading a copy for one use only can save space.

    It can for an input used at several places, and for whatever was spilled until then.
    """
    return bool(choice.spills) or (choice.in_hbm and len(choice.consumers) > 1)


def loadable(choice: Choice) -> list[Layout]:
    """Layouts that a DMA can load directly."""
    return list(dict.fromkeys(m.target for m in choice.moves if m.source is None))


def load_ns(choice: Choice, layout: Layout) -> int:
    """DMA time of loading the layout from HBM."""
    found = [m for m in choice.moves if m.source is None and m.target == layout]
    return sum(found[0].busy_ns.values())


def upper_bound_ns(instance: Instance) -> int:
    """No engine can be busy longer than everything together."""
    total = sum(sum(c.busy_ns.values()) for c in instance.candidates)
    for choice in instance.choices.values():
        total += sum(sum(m.busy_ns.values()) for m in choice.moves) + sum(choice.spills.values())
        total += len(choice.consumers) * sum(
            sum(m.busy_ns.values()) for m in choice.moves if m.source is None
        )
    return total + len(ENGINES)
