"""What a compiled program made the compiler do: the rows of the fuzzing report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nkigen_cp.ir.nki.kernel import Instruction, Kernel, walk
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.plan import Plan
from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Generate,
    Reinterpret,
    Reorder,
    Replicate,
    Step,
    Transpose,
)

FEATURES = (
    "spilled",
    "fused",
    "looped",
    "converted",
    "peeled",
    "replicated",
    "generated",
    "reinterpreted",
    "epilogue",
)
"""What a plan may do to a program; every one is to be seen."""

RARE_FEATURES = ("several nests", "accumulated", "reordered")
"""Seldom seen in programs as small as the random ones; the suspects are to reach them."""

UNUSED_INSTRUCTIONS = ("iota", "bn_stats", "bn_aggr")
"""Rows of the instruction table that no cover and no move uses yet."""

INSTRUCTIONS = (
    "activation on scalar",
    "activation on scalar, accumulating",
    "affine_select on gpsimd",
    "dma_copy on dma",
    "memset on gpsimd",
    "nc_matmul on tensor",
    "nc_transpose on tensor",
    "reciprocal on vector",
    "scalar_tensor_tensor on vector",
    "tensor_copy on scalar",
    "tensor_copy on vector",
    "tensor_reduce on vector",
    "tensor_scalar on scalar",
    "tensor_scalar on vector",
    "tensor_scalar_reduce on vector",
    "tensor_tensor on gpsimd",
    "tensor_tensor on vector",
)
"""Instructions that plans contain at this step, with the engines they run on."""

OP_ROWS = tuple(f"op {name}" for name in OPS)


def features(graph: Graph, plan: Plan, kernel: Kernel) -> Counter[str]:
    """One of everything that the program has, that its plan does, that its kernel executes."""
    found = Counter[str]({f"op {op.kind}": 1 for op in graph.ops.values()})
    found.update({f"op {op.kind}": 1 for op in plan.program.ops.values()})
    found.update(dict.fromkeys(_of_plan(plan), 1))
    found.update(dict.fromkeys(_of_kernel(kernel), 1))
    return Counter(dict.fromkeys(found, 1))


def _of_plan(plan: Plan) -> Iterator[str]:
    words = set(plan.residency.values())
    yield from (w for w in ("spilled", "fused") if w in words)
    if plan.data.loops:
        yield "looped"
    if len({s.path[0] for s in plan.steps if s.path}) > 1:
        yield "several nests"
    if plan.program.carried:
        yield "accumulated"
    kinds = {type(s.spec) for s in plan.steps}
    for kind, name in (
        (Transpose, "converted"),
        (Replicate, "replicated"),
        (Reorder, "reordered"),
        (Generate, "generated"),
        (Reinterpret, "reinterpreted"),
    ):
        if kind in kinds:
            yield name
    if any(_peels(plan, s) for s in plan.steps):
        yield "peeled"
    if any(isinstance(s.spec, Contract) and len(s.spec.epilogue.cover.ops) > 1 for s in plan.steps):
        yield "epilogue"


def _peels(plan: Plan, step: Step) -> bool:
    """Whether the run of a step's partitions ends in a shorter block."""
    spec = step.spec
    run = spec.run if isinstance(spec, Elementwise) else None
    run = spec.m_run if isinstance(spec, Contract) else run
    if run is None or not run.digits:
        return False
    op = spec.cover.root if isinstance(spec, Elementwise) else None
    name = spec.op if isinstance(spec, Contract) else op
    return plan.program.ops[str(name)].size(run.digits[0]) % run.block != 0


def _of_kernel(kernel: Kernel) -> Iterator[str]:
    for statement in walk(kernel.body):
        if isinstance(statement, Instruction):
            name = f"{statement.kind} on {statement.engine}"
            yield name
            if statement.args.get("reduce_res") is not None:
                yield f"{name}, accumulating"


def report(total: Counter[str]) -> str:
    """The tally as a table, missing rows marked."""
    rows = ("programs", "infeasible", *FEATURES, *RARE_FEATURES, *INSTRUCTIONS, *OP_ROWS)
    lines = [f"{total[row]:6d}  {row}" for row in rows]
    lines += [f"   n/a  {name} (no cover uses it yet)" for name in UNUSED_INSTRUCTIONS]
    return "\n".join(lines)


def missing(total: Counter[str]) -> list[str]:
    """Rows that nothing reached."""
    return [row for row in (*FEATURES, *INSTRUCTIONS, *OP_ROWS) if not total[row]]
