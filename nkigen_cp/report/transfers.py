"""What crosses between HBM and SBUF, step by step, and how well the DMA engines are used."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.cost import operand_shape
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, View, walk
from nkigen_cp.report.model import TransferLine
from nkigen_cp.solver.plan import (
    Contract,
    Exchange,
    Form,
    Gather,
    Load,
    PlanData,
    Reinterpret,
    Scatter,
    Step,
    Store,
)
from nkigen_cp.solver.traffic import step_bytes
from nkigen_cp.targets.target import Target

_DIRECTIONS: Mapping[type, str] = {
    Load: "load",
    Store: "store",
    Contract: "stream",
    Gather: "gather",
    Scatter: "scatter",
    Reinterpret: "copy in HBM",
    Exchange: "exchange",
}


def transfer_lines(
    program: Program, plan: PlanData, kernel: Kernel, target: Target
) -> tuple[TransferLine, ...]:
    """One line per step that moves bytes of HBM."""
    moved = step_bytes(program, plan)
    rows = _row_bytes(kernel)
    forms = {f.name: f for f in plan.forms}
    return tuple(
        _line(target, forms, s, moved[s.group], rows.get(s.group, 0))
        for s in plan.steps
        if moved[s.group]
    )


def _line(
    target: Target, forms: Mapping[str, Form], step: Step, size_bytes: int, row_bytes: int
) -> TransferLine:
    dma = target.dma
    outside = [u.form for u in (*step.writes, *step.reads) if forms[u.form].layout is None]
    busy = step.busy_ns.get("dma", 0)
    peak = dma.engines * dma.bytes_per_ns_per_engine
    return TransferLine(
        step=step.group,
        tensor=forms[outside[0]].tensor,
        direction=_DIRECTIONS[type(step.spec)],
        bytes=size_bytes,
        row_bytes=row_bytes,
        full_row_bytes=round(dma.min_descriptor_ns * dma.bytes_per_ns_per_engine),
        busy_ns=busy,
        efficiency=size_bytes / busy / peak if busy else 0.0,
    )


def _row_bytes(kernel: Kernel) -> dict[int, int]:
    """The shortest descriptor of every step's DMAs, by the step's number."""
    found: dict[int, int] = {}
    for statement in walk(kernel.body):
        if isinstance(statement, Instruction) and statement.engine == "dma":
            step = statement.step
            if step is not None:
                row = _descriptor_bytes(kernel, statement)
                found[step] = min(row, found.get(step, row))
    return found


def _descriptor_bytes(kernel: Kernel, instruction: Instruction) -> int:
    views = [v for n in ("dst", "src") if isinstance(v := instruction.args.get(n), View)]
    shapes = [operand_shape(v, kernel.buffers[v.buffer]) for v in views]
    return min(s.run_bytes for s in shapes)
