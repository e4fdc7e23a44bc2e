"""The runner-up of every decision, and what forbids one that would cost less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.report.model import DecisionLine
from nkigen_cp.report.wording import axis_names, run_text
from nkigen_cp.solver.alternatives import Alternative, Alternatives, alternatives, rank, run_of
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.plan import Contract, Elementwise, PlanData
from nkigen_cp.solver.resume import decisions_of
from nkigen_cp.solver.solve import offered
from nkigen_cp.targets.target import Target

MOST_OPS = 64
"""Ops whose alternatives are worked out: those that keep engines busy longest."""


def decision_lines(
    program: Program, plan: PlanData, graph: Graph, target: Target
) -> tuple[DecisionLine, ...]:
    """Per decision its runner-up, and the best that is forbidden if it would cost less.

    None for a plan whose decisions are not all on offer, as that of another version may be.
    """
    instance = offered(graph, plan, target)
    decisions = decisions_of(instance, plan)
    if decisions is None:
        return ()
    job = alternatives(instance, decisions)
    places = {s.name: s.group for s in plan.steps}
    found = [*_of_ops(program, job, places), *_of_tensors(plan, job)]
    return tuple(sorted(found, key=lambda d: d.step))


def _of_ops(program: Program, job: Alternatives, places: dict[str, int]) -> Iterator[DecisionLine]:
    candidates = job.instance.candidates
    heaviest = sorted(job.decisions.chosen, key=lambda i: (-sum(candidates[i].busy_ns.values()), i))
    for number in sorted(heaviest[:MOST_OPS]):
        now = candidates[number]
        facets: dict[str, list[Alternative]] = {}
        for facet, found in job.of_op(number):
            facets.setdefault(facet, []).append(found)
        for facet, options in facets.items():
            for option in _shown(options):
                assert option.candidate is not None
                yield DecisionLine(
                    step=places[now.ops[-1]],
                    subject=now.ops[-1],
                    what=_WHAT[facet],
                    now=_value(program, facet, now),
                    other=_value(program, facet, candidates[option.candidate]),
                    change_ns=option.change_ns,
                    against=_against(option),
                )


def _of_tensors(plan: PlanData, job: Alternatives) -> Iterator[DecisionLine]:
    forms = {f.name: f.tensor for f in plan.forms}
    for tensor in job.instance.choices:
        option = job.of_tensor(tensor)
        if option is None or option.change_ns is None:
            continue  # it could not be held in another way in the first place
        twice = job.is_moved_twice(tensor)
        first = next(s.group for s in plan.steps if any(forms[u.form] == tensor for u in s.writes))
        yield DecisionLine(
            step=first,
            subject=tensor,
            what="residency",
            now="stored or loaded again" if twice else "resident",
            other="resident" if twice else "loaded again for later uses",
            change_ns=option.change_ns,
            against=_against(option),
        )


def _shown(options: Sequence[Alternative]) -> list[Alternative]:
    """The best that could be taken, and before it the best that would cost less but cannot."""
    legal = [o for o in options if o.legal]
    best = min(legal, key=rank, default=None)
    barred = [
        o
        for o in options
        if not o.legal
        and (best is None or (o.change_ns is not None and o.change_ns < (best.change_ns or 0)))
    ]
    return [*sorted(barred, key=rank)[:1], *([best] if best is not None else [])]


def _against(option: Alternative) -> str:
    over = option.overflow
    if over is None:
        return option.refused
    return f"SBUF: {over.needed_bytes:,} of {over.capacity_bytes:,} B at {over.op}"


_WHAT = {"engine": "engine", "partition": "on the partitions", "stationary": "stationary operand"}


def _value(program: Program, facet: str, c: Candidate) -> str:
    """What a candidate decides, in the user's names."""
    spec = c.spec
    if facet == "partition":
        run = run_of(spec)
        assert run is not None
        op = program.ops[spec.op if isinstance(spec, Contract) else c.ops[-1]]
        return run_text(run, op, axis_names(program, (op.output, *op.accesses)))
    if isinstance(spec, Contract):
        lhs, rhs = program.ops[spec.op].accesses
        stationary = lhs.tensor if spec.stationary == "lhs" else rhs.tensor
        return stationary if facet == "stationary" else spec.epilogue.engine
    return spec.engine if isinstance(spec, Elementwise) else ""
