"""How long a kernel of one op takes to compile: every row of the op table in every type it takes.

``python -m benchmarks.single_ops`` writes ``benchmarks/SINGLE_OPS.md``; names of ops as arguments
measure these alone and write nothing. Times are of the processor, so that other work on the machine
does not count, the least of three compilations.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import nkigen_cp as cp
from benchmarks.markdown import machine
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.report.ops import DTYPES, sample_graph

PAGE = Path(__file__).parent / "SINGLE_OPS.md"
LIMIT_S = 0.3
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One kernel: seconds to solve, lower and emit it, the ops it became, its instructions."""

    op: str
    dtype: str
    seconds: float
    ops: int
    instructions: int


def timed(names: Sequence[str]) -> Iterator[Timed]:
    """The kernels of these ops, in the order of the table."""
    for row in OPS.values():
        for dtype in DTYPES if row.name in names else ():
            try:
                graph = sample_graph(row, dtype)
                if graph is not None:
                    yield _compiled(row.name, dtype, graph)
            except cp.NkigenError:
                continue  # the op does not take this type


def _compiled(op: str, dtype: str, graph: Graph) -> Timed:
    found: list[Timed] = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        plan = cp.solve(graph, effort="fast")
        kernel = cp.lower(plan)
        cp.emit_nki(kernel)
        seconds = time.process_time() - begun
        counted = cp.count(kernel).instructions
        found.append(
            Timed(
                op=op,
                dtype=dtype,
                seconds=seconds,
                ops=len(plan.program.ops),
                instructions=counted,
            )
        )
        if seconds > 10 * LIMIT_S:
            break
    return min(found, key=lambda t: t.seconds)


def page(found: Sequence[Timed]) -> str:
    """The results as Markdown, the slowest first."""
    slow = [t for t in found if t.seconds > LIMIT_S]
    facts = ", ".join(f"{k} {v}" for k, v in machine().items())
    rows = (
        f"| `{t.op}` | {t.dtype} | {t.seconds:.2f} | {t.ops} | {t.instructions} |"
        for t in sorted(found, key=lambda t: (-round(t.seconds, 2), t.op, t.dtype))
    )
    return "\n".join(
        [
            "# Compile time of kernels of one op",
            "",
            f"Made by `python -m benchmarks.single_ops` on {facts}. Seconds of processor time at "
            f'effort "fast" for (96, 100), the least of {ROUNDS}; the limit is {LIMIT_S} s.',
            "",
            f"{len(found)} kernels, {len(slow)} of them above the limit.",
            "",
            "| op | type | s | ops planned | instructions |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write; 1 if a kernel takes longer than the limit."""
    cp.compile(np.exp, cp.spec((2, 2), "float32"), effort="fast")  # imports and tables
    found: list[Timed] = []
    for one in timed(arguments or list(OPS)):
        found.append(one)
        print(f"{one.op:16s} {one.dtype:8s} {one.seconds:6.2f} s  {one.ops:4d} ops", flush=True)
    if not arguments:
        PAGE.write_text(page(found), encoding="utf-8")
    return int(any(t.seconds > LIMIT_S for t in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
