"""The CP-SAT search: build the model, hint it completely, run it inside a deterministic budget."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ortools.sat.python import cp_model

from nkigen_cp.errors import PlanError
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families import cover, engines, layouts, memory, pins, reuse
from nkigen_cp.solver.families.engines import SERIAL_SHARE
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.variables import Variables, create_variables
from nkigen_cp.solver.work import work_of

BUDGET = {"fast": 1.0, "balanced": 4.0, "max": 60.0}
"""Deterministic time per effort; one unit took 2.5 to 10 wall seconds on two cores."""

WALL_LIMIT_S = {"fast": 60.0, "balanced": 180.0, "max": 1800.0}
"""Safety stop; a plan it cut short says that it is not deterministic."""


QUIET_S = 0.3
"""Time without a new solution before a running search is stopped from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a running solve. ``bound_ns`` and ``gap`` are None before the first bound."""

    objective_ns: float
    bound_ns: float | None
    gap: float | None
    wall_s: float


ProgressFn = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of a search. ``bound`` is in the model's unit of 1/8 ns."""

    status: str
    decisions: Decisions | None
    bound: int
    deterministic: bool


class _Recorder(cp_model.CpSolverSolutionCallback):
    """Passes progress on; ``quiet_s`` is how long ago the last solution came."""

    def __init__(self, on_progress: ProgressFn | None) -> None:
        super().__init__()
        self._on_progress = on_progress
        self._last = time.monotonic()
        self.busy = threading.Lock()

    def on_solution_callback(self) -> None:
        with self.busy:
            if self._on_progress is not None:
                objective = self.objective_value / SERIAL_SHARE
                bound = self.best_objective_bound / SERIAL_SHARE
                gap = (objective - bound) / objective if objective else 0.0
                self._on_progress(
                    Progress(objective_ns=objective, bound_ns=bound, gap=gap, wall_s=self.wall_time)
                )
            self._last = time.monotonic()

    @property
    def quiet_s(self) -> float:
        return time.monotonic() - self._last


def search(  # noqa: PLR0913 - every option of a search
    instance: Instance,
    hint: Decisions | None,
    *,
    effort: str,
    seed: int,
    workers: int,
    near: float = 0.0,
    on_progress: ProgressFn | None = None,
) -> Outcome:
    """The best decisions within the budget, and the proven bound.

    Decisions whose gap is at most ``near`` are good enough.
    """
    model, variables = build_model(instance)
    # An infeasible hint makes OR-Tools 9.15 abort the process when the model is infeasible too.
    if hint is not None and memory.fits(instance, hint):
        _hint(model, instance, variables, hint)
    solver = _configured(effort, seed, workers)
    solver.parameters.relative_gap_limit = near
    status, stopped = _run(solver, model, _Recorder(on_progress), WALL_LIMIT_S[effort])
    if status == "INFEASIBLE":
        # Presolve of 9.15 has reported feasible models as infeasible: ask again without it.
        solver = _configured(effort, seed, workers)
        solver.parameters.cp_model_presolve = False
        status, stopped = _run(solver, model, _Recorder(on_progress), WALL_LIMIT_S[effort])
    solved = status in ("OPTIMAL", "FEASIBLE")
    bound = solver.best_objective_bound if status != "INFEASIBLE" else 0.0
    if status == "OPTIMAL" and bound < solver.objective_value - 0.5:
        status = "FEASIBLE"  # near enough
    return Outcome(
        status=status,
        decisions=_extract(solver, instance, variables) if solved else None,
        # The objective is an integer; the bound is one up to the noise of floating point.
        bound=max(0, math.ceil(bound - 1e-6)),
        deterministic=not stopped,
    )


def build_model(instance: Instance) -> tuple[cp_model.CpModel, Variables]:
    """The whole model: one constraint family after the other, then the objective."""
    model = cp_model.CpModel()
    variables = create_variables(model, instance)
    for family in (cover, layouts, memory, reuse, pins):
        family.add(model, instance, variables)
    model.minimize(engines.add(model, instance, variables))
    problem = model.validate()
    if problem:
        raise PlanError(f"internal: the solver model is invalid: {problem}")
    return model, variables


def _configured(effort: str, seed: int, workers: int) -> cp_model.CpSolver:
    """Named subsolvers, interleaved, with a deterministic limit: reproducible on any load."""
    solver = cp_model.CpSolver()
    p = solver.parameters
    p.num_workers = workers
    p.interleave_search = True
    # One turn at a time: with the default, the better subsolver waits for the other's long turn.
    # A layer of 128 tokens takes 2.3 s instead of 12.7, one of 512 tokens 5.5 instead of 21.6.
    p.interleave_batch_size = 1
    p.subsolvers.extend(["max_lp", "default_lp"])  # pyright: ignore[reportUnknownMemberType]
    p.random_seed = seed
    p.max_deterministic_time = BUDGET[effort]
    p.catch_sigint_signal = False  # its handler aborts the process outside the main thread
    p.symmetry_level = 0
    p.cp_model_probing_level = 0
    return solver


def _run(
    solver: cp_model.CpSolver,
    model: cp_model.CpModel,
    recorder: _Recorder,
    wall_limit_s: float,
) -> tuple[str, bool]:
    """Solve in a thread so that Ctrl-C and the safety stop end it with its best solution so far.

    Returns the status name and whether the search was stopped from outside.
    """
    status: list[str] = []
    done = threading.Event()

    def work() -> None:
        try:
            status.append(solver.solve(model, recorder).name)
        finally:
            done.set()

    end = time.monotonic() + wall_limit_s
    stopped = asked = False
    threading.Thread(target=work, daemon=True).start()
    while not done.is_set():
        try:
            # An event: an interrupted Thread.join would take the thread for finished.
            done.wait(0.1)
            stopped = stopped or time.monotonic() > end
        except KeyboardInterrupt:
            stopped = True
        # OR-Tools 9.15 aborts the process if it is stopped while it takes over a solution.
        if stopped and not asked and recorder.quiet_s > QUIET_S:
            with recorder.busy:
                solver.stop_search()
            asked = True
    if not status:
        raise PlanError("internal: the solver ended without a status")
    return status[0], stopped


def _hint(
    model: cp_model.CpModel, instance: Instance, variables: Variables, hint: Decisions
) -> None:
    chosen = set(hint.chosen)
    for i, v in enumerate(variables.chosen):
        model.add_hint(v, i in chosen)
    for (t, x), v in variables.kept.items():
        model.add_hint(v, x in hint.kept.get(t, ()))
    for (t, x), v in variables.passed.items():
        model.add_hint(v, x in hint.passed.get(t, ()))
    for t, literals in variables.moved.items():
        for j, v in enumerate(literals):
            model.add_hint(v, j in hint.moved.get(t, ()))
    for (t, x), v in variables.spilled.items():
        model.add_hint(v, x in hint.spilled.get(t, ()))
    for i, v in enumerate(variables.reused):
        model.add_hint(v, i in hint.reused)
    for key, v in variables.visiting.items():
        model.add_hint(v, key in hint.visiting)
    work = work_of(instance, hint)
    for name, v in variables.nests.items():
        model.add_hint(v, work.nest_ns(name))
    model.add_hint(variables.makespan, work.makespan_ns)


def _extract(solver: cp_model.CpSolver, instance: Instance, variables: Variables) -> Decisions:
    def true(v: cp_model.IntVar) -> bool:
        return bool(solver.boolean_value(v))

    return Decisions(
        chosen=tuple(i for i, v in enumerate(variables.chosen) if true(v)),
        moved={
            t: tuple(j for j, v in enumerate(vs) if true(v)) for t, vs in variables.moved.items()
        },
        kept={
            t: tuple(x for (n, x), v in variables.kept.items() if n == t and true(v))
            for t in instance.choices
        },
        passed={
            t: tuple(x for (n, x), v in variables.passed.items() if n == t and true(v))
            for t in instance.choices
        },
        spilled={
            t: tuple(x for (n, x), v in variables.spilled.items() if n == t and true(v))
            for t in instance.choices
        },
        reused=tuple(i for i, v in enumerate(variables.reused) if true(v)),
        visiting=tuple(k for k, v in variables.visiting.items() if true(v)),
    )
