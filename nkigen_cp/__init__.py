"""nkigen_cp: numpy-style tensor programs to NKI kernels for AWS Trainium, planned by CP-SAT."""

from __future__ import annotations

from nkigen_cp.api import (
    Compiled,
    compile,
    first_difference,
    interpret,
    interpret_ranks,
    lower,
    simulate,
    simulate_ranks,
    solve,
)
from nkigen_cp.emit import emit_neff, emit_nki
from nkigen_cp.errors import (
    ArgumentError,
    GraphError,
    Infeasible,
    KernelError,
    NkigenError,
    PlanError,
    ShapeError,
    SimulationError,
    TargetError,
    ToolchainError,
    TraceError,
    UnsupportedError,
)
from nkigen_cp.frontend import collectives, fori_loop, name, ops, spec, trace
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.plan import Plan
from nkigen_cp.simulate.count import Counts, count
from nkigen_cp.simulate.timeline import Estimate, estimate
from nkigen_cp.solver.plan.pin_files import load_pins, parse_pin, save_pins
from nkigen_cp.solver.plan.pins import Fuse, Pin, fuse, pin
from nkigen_cp.targets import TRN1, TRN2, TRN3, Target, load_target

__version__ = "0.1.0"
__all__ = [
    "TRN1",
    "TRN2",
    "TRN3",
    "ArgumentError",
    "Compiled",
    "Counts",
    "Estimate",
    "Fuse",
    "Graph",
    "GraphError",
    "Infeasible",
    "KernelError",
    "NkigenError",
    "Pin",
    "Plan",
    "PlanError",
    "ShapeError",
    "SimulationError",
    "Target",
    "TargetError",
    "ToolchainError",
    "TraceError",
    "UnsupportedError",
    "collectives",
    "compile",
    "count",
    "emit_neff",
    "emit_nki",
    "estimate",
    "first_difference",
    "fori_loop",
    "fuse",
    "interpret",
    "interpret_ranks",
    "load_pins",
    "load_target",
    "lower",
    "name",
    "ops",
    "parse_pin",
    "pin",
    "save_pins",
    "simulate",
    "simulate_ranks",
    "solve",
    "spec",
    "trace",
]
