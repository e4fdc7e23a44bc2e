"""graph -> plan: canonicalise, factor, greedy, search, assemble, check."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.admit import Admit, everything, sparing
from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families import memory
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.greedy import greedy
from nkigen_cp.solver.infeasible import explain
from nkigen_cp.solver.instance import Instance, build_instance, planned
from nkigen_cp.solver.memory_report import describe_overflow
from nkigen_cp.solver.pack import pack
from nkigen_cp.solver.pins import hopeless, obeys
from nkigen_cp.solver.plan import Options, PlanData
from nkigen_cp.solver.plan.pin_names import verify_pins
from nkigen_cp.solver.plan.pins import FUSE, demands
from nkigen_cp.solver.record import recorded
from nkigen_cp.solver.resume import decisions_of
from nkigen_cp.solver.search import Outcome, Progress, ProgressFn, search
from nkigen_cp.solver.structure import Structure, structured
from nkigen_cp.solver.structure.grow import proposals, smaller, tighter
from nkigen_cp.solver.structure.overlap import overlapping
from nkigen_cp.solver.structure.peel import peeled, worth_peeling
from nkigen_cp.solver.structure.rows import in_long_rows
from nkigen_cp.solver.structure.tried import Proposal
from nkigen_cp.solver.swaps import swapped
from nkigen_cp.solver.traffic import moved_bytes
from nkigen_cp.solver.work import work_of
from nkigen_cp.targets.target import Target

TRIES = {"fast": 8, "balanced": 16, "max": 24}
"""Structures of loops tried until one fits, by effort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What knows the time of a plan: ``ordered`` is the plan with its steps in a better order."""

    ordered: Callable[[Program, PlanData], PlanData]
    time_ns: Callable[[Program, PlanData], float]


HOPEFUL = 1.25
"""Times the cost of the best plan, up to which one in parts gets its steps ordered."""

NEAR = 0.95
"""Part of the cost that the busiest engine may leave for there to be something to gain."""

WORTH = 0.97
"""Part of the cost that is left where parts are worth their longer source."""

SWAPS = {"fast": 0, "balanced": 8, "max": 64}
"""Plans of the same objective that are timed, by effort."""

KEPT = 4
"""Programs kept, because the same structure is asked for again while its plan is worked on."""

EXPLAINED = 200
"""Ops of all structures with loops that are asked why they have no plan."""

LOOPED = 2
"""Structures of a search for loops that pins want."""

OPS_AT_ONCE = 100
"""Ops of all structures that are solved to be compared."""


def wants_loops(options: Options) -> bool:
    """Whether pins ask for what only loops offer, even where everything fits without."""
    wanted = demands(options.pins)
    return any(d.kind == FUSE or d.value in ("stream", "fused") for d in wanted)


def canonical(graph: Graph, options: Options) -> Graph:
    """The core graph that is planned under these options."""
    return canonicalise(
        graph,
        matmul_precision=options.matmul_precision,
        assume_masked=options.assume_masked,
    )


def planned_program(graph: Graph, plan: PlanData) -> Program:
    """The program that the steps of a plan speak about."""
    return planned(structured(canonical(graph, plan.options), structure_of(plan)))


def offered(graph: Graph, plan: PlanData, target: Target) -> Instance:
    """Everything there is to choose from with the loops of a plan, under its options."""
    program = structured(canonical(graph, plan.options), structure_of(plan))
    return build_instance(program, target, pinned=demands(plan.options.pins))


def structure_of(plan: PlanData) -> Structure:
    """The cuts and loops of a plan."""
    return Structure(splits=plan.splits, cuts=plan.cuts, loops=plan.loops)


def solve_graph(  # noqa: PLR0913 - every option of a solve
    graph: Graph,
    target: Target,
    options: Options,
    *,
    hint: PlanData | None = None,
    on_progress: ProgressFn | None = None,
    clock: Clock | None = None,
    near: float = 0.0,
) -> PlanData:
    """The best plan within the effort's budget, checked independently.

    Steps are ordered and plans with different loops compared by the ``clock``; without one steps
    stay as they come and the objective decides. A search ends where its gap is at most ``near``.

    Raises:
        Infeasible: nothing fits; the message names the tensors that are too large together.
    """
    core = canonical(graph, options)
    if options.pins:
        whole = planned(structured(core, Structure()))
        verify_pins(graph, whole, demands(options.pins))
    request = Request(graph, core, target, options, hint, on_progress, clock, near)
    if options.pins and request.is_hopeless():
        raise request.explained(Infeasible("no candidate does what is pinned"))
    solved: list[PlanData] = []
    looped = wants_loops(options)
    for chip in (target, *smaller(target), *(tighter(target) if looped else ())):
        found = proposals(core, chip)
        most = 1 if any(p.pressed for p in found) else LOOPED if looped else None
        plain = [p.structure for p in found] or [Structure()]
        solved += request.tried(in_long_rows(core, chip, plain), most=most)
        windows = peeled(core, chip) if not solved or worth_peeling(core, chip, found) else []
        solved += request.tried(p.structure for p in windows)
        if solved:
            return request.improved(request.best(solved), chip, found)
        if not (found or windows):
            break  # what does not even seem to fit does not fit less
    try:
        return request.solved(Structure())
    except Infeasible as error:
        raise request.explained(error) from None


@dataclass(frozen=True, slots=True)
class Request:
    """One call of solve: what is asked, and which structures have no plan."""

    graph: Graph
    core: Graph
    target: Target
    options: Options
    hint: PlanData | None
    on_progress: ProgressFn | None
    clock: Clock | None
    near: float = 0.0
    failed: list[Structure] = field(default_factory=list[Structure])
    programs: list[tuple[Structure, Program]] = field(
        default_factory=list[tuple[Structure, Program]]
    )

    def is_hopeless(self) -> bool:
        """Whether no structure can do what is pinned."""
        whole = self.instance(Structure())
        return hopeless(self.target, whole.candidates, whole.rulings)

    def explained(self, error: Infeasible) -> Infeasible:
        """The error with what contradicts what, in the structures that were tried."""
        instances: list[Instance] = []
        others = [s for s in self.failed if s != Structure()]
        count = EXPLAINED // max(1, len(self.core.ops))
        for structure in (Structure(), *others[:count]):
            try:
                instances.append(self.instance(structure))
            except Infeasible:
                continue  # an op has no candidate there, whatever is pinned
        if not instances:
            return error
        report = explain(instances, str(error))
        return Infeasible(str(report) if self.options.pins else str(error), report)

    def best(self, plans: Sequence[PlanData]) -> PlanData:
        """The cheapest plan; if one of them was stopped, another might have been."""
        found = min(plans, key=self.cost_ns) if len(plans) > 1 else plans[0]
        return found if all(p.deterministic for p in plans) else replace(found, deterministic=False)

    def improved(self, plan: PlanData, chip: Target, found: Sequence[Proposal]) -> PlanData:
        """The plan after what is tried with few ops; Ctrl-C ends with the one there is."""
        if len(self.core.ops) * 2 > OPS_AT_ONCE:
            return plan

        def overlapped(plan: PlanData) -> PlanData:
            return self.overlapped(plan, [p.structure for p in overlapping(self.core, chip, found)])

        try:
            for better in (self.refined, overlapped, self.shared_out):
                plan = better(plan) if plan.deterministic else plan
        except KeyboardInterrupt:
            return replace(plan, deterministic=False)
        return plan

    def refined(self, plan: PlanData) -> PlanData:
        """The plan, or one with the same loops that leaves GpSimd out of them, if that is better.

        GpSimd takes work from the others but needs long for it, and what waits for it stalls.
        """
        if not any("gpsimd" in s.busy_ns for s in plan.steps if s.path):
            return plan
        try:
            other = self.solved(structure_of(plan), admit=sparing("gpsimd"))
        except Infeasible:
            return plan  # nothing else was found in the budget
        return self.best((plan, other))

    def shared_out(self, plan: PlanData) -> PlanData:
        """The plan, or one of the same objective that shares work out in another way."""
        count = SWAPS[self.options.effort]
        if self.clock is None or not count:
            return plan
        instance = self.instance(structure_of(plan))
        others = itertools.islice(swapped(instance, plan), count)
        other = min(others, key=self.cost_ns, default=None)
        return plan if other is None else self.best((plan, self.ordered(other)))

    def overlapped(self, plan: PlanData, structures: Sequence[Structure]) -> PlanData:
        """The plan, or one with parts that overlap if that is better.

        Steps are put in order only where that can lead to it. A search that is stopped is the last.
        """
        for structure in structures:
            least = self.cost_ns(plan)
            if self._cost_ns(plan, max(plan.busy_ns.values())) > NEAR * least:
                break  # the busiest engine hardly waits
            try:
                other = self.unordered(structure)
            except Infeasible:
                continue
            if self.cost_ns(other) < HOPEFUL * least:
                other = self.ordered(other)
                plan = other if self.cost_ns(other) < WORTH * least else plan
            if not other.deterministic:
                return replace(plan, deterministic=False)
        return plan

    def tried(self, structures: Iterable[Structure], *, most: int | None = None) -> list[PlanData]:
        """The best plan with the first few structures that have one; none if no structure has.

        How many is up to the number of ops, or at ``most`` so many. A search that was stopped from
        outside is the last one.
        """
        most = most or max(2, OPS_AT_ONCE // max(1, len(self.core.ops)))
        best: list[PlanData] = []
        least, count = math.inf, 0
        for structure in itertools.islice(structures, TRIES[self.options.effort]):
            if count == most:
                break
            if structure in self.failed:
                continue
            try:
                plan = self.unordered(structure)
            except Infeasible:
                self.failed.append(structure)
                continue
            count += 1
            # Ordering steps may take longer than the search; this is a bound of what comes of it.
            if self._cost_ns(plan, max(plan.busy_ns.values())) < least:
                plan = self.ordered(plan)
                cost = self.cost_ns(plan)
                if cost < least:
                    best, least = [plan], cost
            if not plan.deterministic:
                return [replace(p, deterministic=False) for p in best]
        return best

    def solved(self, structure: Structure, *, admit: Admit = everything) -> PlanData:
        """The best plan with these loops, its steps in order; raises Infeasible if nothing fits."""
        return self.ordered(self.unordered(structure, admit=admit))

    def ordered(self, plan: PlanData) -> PlanData:
        """The plan with its steps in the best order, checked; Ctrl-C leaves them as they are."""
        program = self.planned(plan)
        try:
            found = plan if self.clock is None else self.clock.ordered(program, plan)
        except KeyboardInterrupt:
            found = replace(plan, deterministic=False)
        check_plan(program, found, self.target)
        return found

    def program(self, structure: Structure) -> Program:
        """The program with these loops, of which the last few are kept."""
        for known, program in self.programs:
            if known == structure:
                return program
        del self.programs[: -KEPT + 1]
        self.programs.append((structure, structured(self.core, structure)))
        return self.programs[-1][1]

    def instance(self, structure: Structure, admit: Admit = everything) -> Instance:
        """Everything to choose from with these loops, and what pins rule out of it."""
        wanted = demands(self.options.pins)
        return build_instance(self.program(structure), self.target, admit=admit, pinned=wanted)

    def planned(self, plan: PlanData) -> Program:
        """The program that the plan's steps speak about."""
        return planned(self.program(structure_of(plan)))

    def unordered(self, structure: Structure, *, admit: Admit = everything) -> PlanData:
        """The best plan with these loops, its steps in the order in which they were found.

        Raises:
            Infeasible: nothing fits.
        """
        instance = self.instance(structure, admit)
        first = _first(instance, self.hint)
        outcome = self._searched(instance, first)
        # Where the model finds nothing, it takes lifetimes for longer than they are.
        if outcome.decisions is None and (first is None or not _fits(instance, first)):
            raise Infeasible(_why_none(instance, outcome, first))
        found = [d for d in (outcome.decisions, first) if d is not None]
        comparable = first is not None and memory.fits(instance, first)
        decisions = _best(instance, found) if comparable else found[0]
        data = recorded(self.graph, instance, decisions, outcome, self.options)
        used = {name: None for s in data.steps for name in s.path}
        loops = tuple(k for n, k in instance.program.loops.items() if n in used)
        return replace(data, splits=structure.splits, cuts=structure.cuts, loops=loops)

    def cost_ns(self, plan: PlanData) -> float:
        """For comparing structures: time, and the HBM bandwidth taken from the other cores."""
        if self.clock is None:
            return self._cost_ns(plan, plan.objective_ns)
        return self._cost_ns(plan, self.clock.time_ns(self.planned(plan), plan))

    def _cost_ns(self, plan: PlanData, time_ns: float) -> float:
        return time_ns + moved_bytes(self.planned(plan), plan) / self.target.hbm_bytes_per_ns

    def _searched(self, instance: Instance, first: Decisions | None) -> Outcome:
        told = None if self.hint is None else decisions_of(instance, self.hint)
        starts = [
            d
            for d in (told, first)
            if d is not None and memory.fits(instance, d) and obeys(instance.rulings, d)
        ]
        start = _best(instance, starts) if starts else None
        if self.on_progress is not None and start is not None:
            objective = _objective(instance, start) / SERIAL_SHARE
            self.on_progress(Progress(objective_ns=objective, bound_ns=None, gap=None, wall_s=0.0))
        return search(
            instance,
            start,
            effort=self.options.effort,
            seed=self.options.seed,
            workers=self.options.workers,
            near=self.near,
            on_progress=self.on_progress,
        )


def _first(instance: Instance, hint: PlanData | None) -> Decisions | None:
    """A plan made op by op, near to a hint under pins; None where those want something else."""
    if not instance.rulings:
        return greedy(instance)
    try:
        found = greedy(instance, hint)
    except Infeasible:
        return None
    return found if obeys(instance.rulings, found) else None


def _why_none(instance: Instance, outcome: Outcome, first: Decisions | None) -> str:
    if first is not None:
        return describe_overflow(instance, first)
    pins = ", ".join(str(r.demand) for r in instance.rulings)
    if outcome.status == "INFEASIBLE":
        return f"no plan with these loops obeys the pins {pins}"
    return f"no plan that obeys the pins {pins} was found in the budget; try effort='max'"


def _best(instance: Instance, found: Sequence[Decisions]) -> Decisions:
    return min(found, key=lambda d: _objective(instance, d))


def _objective(instance: Instance, decisions: Decisions) -> int:
    return work_of(instance, decisions).scaled_objective


def _fits(instance: Instance, decisions: Decisions) -> bool:
    steps, forms = assemble(instance, decisions)
    return pack(steps, forms, instance.target.sbuf_partition_bytes).peak_bytes <= (
        instance.target.sbuf_partition_bytes
    )
