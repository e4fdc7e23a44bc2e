"""The plan as users hold it: the solver's decisions together with the graph they are for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.report import Report, build_report, render_text, write_report
from nkigen_cp.report.why import Answer, ask
from nkigen_cp.solver.again import Again
from nkigen_cp.solver.check import check_plan
from nkigen_cp.solver.files import plan_text, read_plan, write_plan
from nkigen_cp.solver.plan import Form, Options, PlanData, Step
from nkigen_cp.solver.plan.pins import AnyPin, pin
from nkigen_cp.solver.solve import planned_program
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What ``solve`` returns. Times are nanoseconds of the cost model; ``gap`` is a fraction."""

    data: PlanData
    graph: Graph
    target: Target = field(repr=False)

    @cached_property
    def program(self) -> Program:
        """The factored program whose ops and tensors the steps name."""
        return planned_program(self.graph, self.data)

    @property
    def status(self) -> str:
        """``OPTIMAL``, ``FEASIBLE``, or ``GREEDY`` where the search found nothing in its budget."""
        return self.data.status

    @property
    def objective_ns(self) -> int:
        return self.data.objective_ns

    @property
    def bound_ns(self) -> int:
        """Proven lower bound of the objective."""
        return self.data.bound_ns

    @property
    def gap(self) -> float:
        """(objective - bound) / objective."""
        return self.data.gap

    @property
    def deterministic(self) -> bool:
        """False if a wall-clock stop or Ctrl-C cut the search short."""
        return self.data.deterministic

    @property
    def options(self) -> Options:
        return self.data.options

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.data.steps

    @property
    def forms(self) -> tuple[Form, ...]:
        return self.data.forms

    @property
    def residency(self) -> Mapping[str, str]:
        """Tensor -> "resident", "streamed", "spilled", "fused" or "hbm"."""
        return self.data.residency

    @cached_property
    def report_data(self) -> Report:
        """Everything that is known of the plan, as values; every report has its numbers from it."""
        return build_report(self.program, self.data, self.graph, self.target)

    def explain(self) -> str:
        """The report as text."""
        return render_text(self.report_data)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the report: a page for browsers (.html), values (.json) or text (.txt).

        The page is one file that needs no network.

        Raises:
            ArgumentError: the path ends in something else, or cannot be written.
        """
        write_report(self.report_data, Path(path))

    def why(self, tensor: str | AnyPin, **alternative: Any) -> Answer:
        """What another decision would cost: ``plan.why("scores", partition="k")``.

        Takes what ``cp.pin`` takes, or a pin. The alternative is forced and solved with the budget
        of this plan; the answer says what changes with it, or what makes it impossible.

        Raises:
            ArgumentError: the plan has no such tensor or axis, or nothing is asked.
        """
        asked = pin(tensor, **alternative) if isinstance(tensor, str) else tensor
        before = Again(plan=self.data, program=self.program)
        return ask(self.graph, self.target, before, asked)

    def to_json(self) -> str:
        """Canonical text: the same plan gives the same bytes."""
        return plan_text(self.data, self.graph, self.target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan file atomically."""
        write_plan(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read and check a plan file.

        Raises:
            PlanError: unreadable, corrupt, of another version, or illegal.
        """
        data, graph, target = read_plan(Path(path))
        plan = cls(data=data, graph=graph, target=target)
        check_plan(plan.program, data, target)
        return plan
