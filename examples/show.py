"""What every example does with its kernel: compile it, run it, compare it with numpy."""

# Kernels are functions of Any, as numpy's are.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import nkigen_cp as cp


def show(
    kernel: Callable[..., Any],
    *arrays: Any,
    tolerance: float = 1e-4,
    effort: str = "balanced",
    **static: Any,
) -> None:
    """Compile ``kernel(*arrays, **static)`` for trn2 and print its plan, its error and its time.

    Arrays that the kernel writes to are compared too. Ends the program with code 1 where the
    largest error is above ``tolerance`` of the largest value.
    """
    graph = cp.trace(kernel, *arrays, **static)
    plan = cp.solve(graph, target=cp.TRN2, effort=effort)
    print(plan.explain())

    lowered = cp.lower(plan)
    counts, time = cp.count(lowered), cp.estimate(lowered)
    print(f"instructions  {counts.instructions:,}")
    print(f"HBM traffic   {counts.hbm_bytes:,} B, {counts.ratio:.2f} x each input and output once")
    print(f"latency       {time.latency_ns / 1000:.1f} us modelled,", end=" ")
    print(f"{time.latency_ns / time.roofline_ns:.2f} x the roofline")

    ours = [array.copy() for array in arrays]  # a kernel may write to its arguments
    exact = [a.astype(np.float64) if a.dtype.kind not in "iub" else a.copy() for a in arrays]
    result = cp.simulate(lowered, *ours, **static)
    reference = kernel(*exact, **static)
    error = max(map(_error, [result, *ours], [reference, *exact]))
    print(f"largest error {error:.1e} of the largest value, against numpy in float64")
    if not error <= tolerance:  # NaN is wrong too
        sys.exit(f"the kernel is wrong: allowed is {tolerance:.0e}")


def _error(found: Any, expected: Any) -> float:
    wide = np.asarray(found, np.float64)
    return float(np.abs(wide - expected).max() / np.abs(expected).max())
