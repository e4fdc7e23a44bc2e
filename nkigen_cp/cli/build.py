"""From a graph to a kernel, and a kernel's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkigen_cp as cp
from nkigen_cp.cli.command import find_target
from nkigen_cp.cli.files import text, write_files
from nkigen_cp.cli.program import bind, parse_argument
from nkigen_cp.cli.show import solving
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.plan.pin_files import load_pins, parse_pin
from nkigen_cp.solver.plan.pins import AnyPin
from nkigen_cp.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveOptions:
    """The options ``solve_options`` adds to a command, by the names click gives them."""

    target: str
    effort: str
    matmul_precision: str
    pin: tuple[str, ...] = ()
    pins: Path | None = None

    @property
    def demanded(self) -> tuple[AnyPin, ...]:
        """The pins of the file, then those given one by one."""
        found = () if self.pins is None else load_pins(self.pins)
        return (*found, *(parse_pin(text) for text in self.pin))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """A compiled program."""

    graph: Graph
    plan: cp.Plan
    kernel: Kernel


def trace_declared(function: Callable[..., Any], declared: tuple[str, ...]) -> Graph:
    """The graph of a function whose arrays are given as ``NAME:SHAPE:DTYPE`` texts.

    Raises:
        ArgumentError: a text or a name is wrong.
        TraceError: the function cannot be traced.
    """
    arguments = [parse_argument(one) for one in declared]
    args, kwargs = bind(function, {a.name: cp.spec(a.shape, a.dtype.name) for a in arguments})
    return cp.trace(function, *args, **kwargs)


def build(graph: Graph, options: SolveOptions, what: str = "solving") -> Built:
    """Solve and lower, with progress on a terminal; ``what`` is said there.

    Raises:
        NkigenError: a bad target, no plan exists, or the kernel breaks a hardware rule.
    """
    return build_for(graph, options, find_target(options.target), what)


def build_for(graph: Graph, options: SolveOptions, target: Target, what: str = "solving") -> Built:
    """``build`` for a target that has no name or file."""
    plan = solve_for(graph, options, target, what)
    return Built(graph=graph, plan=plan, kernel=cp.lower(plan))


def solve_for(
    graph: Graph, options: SolveOptions, target: Target, what: str = "solving"
) -> cp.Plan:
    """Solve for a target, with progress on a terminal.

    Raises:
        NkigenError: no plan exists.
    """
    with solving(what) as on_progress:
        return cp.solve(
            graph,
            target=target,
            effort=options.effort,
            matmul_precision=options.matmul_precision,
            pins=options.demanded,
            on_progress=on_progress,
        )


def save(built: Built, directory: Path) -> tuple[Path, ...]:
    """Write plan.json, report.txt and the NKI source; returns their paths.

    Raises:
        ArgumentError: the directory cannot be written to.
    """
    writers = {
        "plan.json": built.plan.save,
        "report.txt": text(built.plan.explain()),
        f"{built.kernel.name}.py": text(cp.emit_nki(built.kernel)),
    }
    return write_files(directory, writers)
