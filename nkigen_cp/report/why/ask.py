"""A question to a plan: the alternative is forced and solved, then the two are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.report.steps import step_line
from nkigen_cp.report.why.answer import Answer, Change, Figures
from nkigen_cp.report.wording import layout_text
from nkigen_cp.schedule import clock
from nkigen_cp.solver.again import Again, solved_again
from nkigen_cp.solver.plan import PlanData
from nkigen_cp.solver.plan.pins import AnyPin, demands
from nkigen_cp.targets.target import Target

Texts = Mapping[tuple[str, str], str]
"""(kind, name) -> what was decided, in words."""


def ask(graph: Graph, target: Target, before: Again, pin: AnyPin) -> Answer:
    """What the plan ``before`` would be with one more pin.

    Raises:
        ArgumentError: the pin names what the plan does not have.
    """
    question = ", ".join(str(d) for d in demands([pin]))
    watch = clock(target)
    old = _figures(before.plan, watch.time_ns(before.program, before.plan))
    try:
        found = solved_again(graph, target, before, pin, watch)
    except Infeasible as error:
        return Answer(question=question, before=old, after=None, conflicts=error.report)
    differences = _differences(
        _decided(before.program, before.plan), _decided(found.program, found.plan)
    )
    return Answer(
        question=question,
        before=old,
        after=_figures(found.plan, watch.time_ns(found.program, found.plan)),
        moved=tuple(differences),
    )


def _figures(plan: PlanData, estimate_ns: float) -> Figures:
    return Figures(objective_ns=plan.objective_ns, bound_ns=plan.bound_ns, estimate_ns=estimate_ns)


def _decided(program: Program, plan: PlanData) -> Texts:
    """What computes every op, where every tensor lies and lives, and what moves it."""
    forms = {f.name: f for f in plan.forms}
    found: dict[tuple[str, str], str] = {}
    for step in plan.steps:
        line = step_line(program, forms, step)
        text = f"{line.instruction} on {', '.join(line.busy_ns)}, {line.partitions}"
        loops = f", in the loops {'.'.join(step.path)}" if step.path else ""
        tiles = f", {line.tiles}" if line.tiles and not line.moves else ""
        for op in line.ops:
            found["op", op.name] = text + tiles + loops
        if line.moves:
            key = ("move", line.moves)
            found[key] = f"{found[key]}; {text}" if key in found else text + loops
    for name, lives in plan.residency.items():
        held = (f for f in plan.forms if f.tensor == name and f.layout is not None)
        tensor = program.tensors[name]
        texts = sorted(dict.fromkeys(layout_text(tensor, f.layout) for f in held))
        found["tensor", name] = ", ".join([lives, *texts])
    return found


def _differences(before: Texts, after: Texts) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key, ""), after.get(key, "")
        if old != new:
            yield Change(what=key[0], name=key[1], before=old, after=new)
