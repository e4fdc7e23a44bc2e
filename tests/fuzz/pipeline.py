"""One program through the whole compiler, against the float64 interpreter."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.simulate.compare import relative_error
from nkigen_cp.targets import Target
from tests.fuzz import tally
from tests.fuzz.program import Array, Program

EXACT_MAX, CONTRACTED_MAX = 1e-5, 1e-4
"""Allowed max |got - want| / rms(want) in float32, without and with matrix products."""

NARROW_SLACK = 1.5
"""Allowed multiple of the error that rounding every op to bfloat16 makes."""

NARROW_ULP = 2.0**-8
"""And one rounding of the largest element, where the reference happens to round none."""


class WrongError(AssertionError):
    """The kernel computes something else than the program."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Done:
    """A program that came through. ``kernel`` and ``outputs`` are None where it cannot fit."""

    program: Program
    tally: Counter[str]
    kernel: Kernel | None = None
    outputs: tuple[Array, ...] = ()


def target_of(program: Program) -> Target:
    if program.sbuf_bytes is None:
        return cp.TRN2
    return dataclasses.replace(cp.TRN2, sbuf_partition_bytes=program.sbuf_bytes)


def run(program: Program) -> Done:
    """Trace, solve, lower, verify, simulate and compare.

    Raises:
        WrongError: results differ, or the result's structure does.
        NkigenError: some stage refused the program.
    """
    arrays = program.arrays
    graph = cp.trace(program.function, *arrays)
    try:
        plan = cp.solve(graph, target_of(program), effort="fast")
    except cp.Infeasible as error:
        _explained(program, graph, str(error))
        return Done(program=program, tally=Counter({"programs": 1, "infeasible": 1}))
    kernel = cp.lower(plan)
    got = cp.simulate(kernel, *arrays)
    want = cp.interpret(graph, *arrays)
    rounded = cp.interpret(graph, *arrays, precision="graph")
    for name, values in zip(program.returns, zip(got, want, rounded, strict=True), strict=True):
        _agree(name, graph, *values)
    found = tally.features(graph, plan, kernel)
    found["programs"] = 1
    return Done(program=program, tally=found, kernel=kernel, outputs=got)


def _explained(program: Program, graph: Graph, message: str) -> None:
    """Only a small SBUF excuses it, and the message must say so and name a tensor."""
    named = any(f"{name} (" in message for name in graph.tensors)
    if program.sbuf_bytes is None or "SBUF" not in message or not named:
        raise WrongError(f"infeasible without a reason: {message}")


def _agree(name: str, graph: Graph, got: Array, want: Array, rounded: Array) -> None:
    if got.shape != want.shape or got.dtype != rounded.dtype:
        raise WrongError(f"{name} is {got.dtype} {got.shape}, not {rounded.dtype} {want.shape}")
    error = relative_error(got, want)
    allowed = allowance(graph, want, rounded)
    if not error <= allowed:
        raise WrongError(f"{name} is off by {error:.2e} of its rms; {allowed:.2e} is allowed")


def allowance(graph: Graph, want: Array, rounded: Array) -> float:
    """The error that the dtypes of a program excuse."""
    contracts = any(op.kind == "contract" for op in graph.ops.values())
    exact = CONTRACTED_MAX if contracts else EXACT_MAX
    if all(t.dtype.name != "bfloat16" for t in graph.tensors.values()):
        return exact
    rms = float(np.sqrt(np.mean(np.square(want)))) or 1.0
    floor = NARROW_ULP * float(np.max(np.abs(want))) / rms if want.size else 0.0
    return exact + NARROW_SLACK * relative_error(rounded, want) + floor
