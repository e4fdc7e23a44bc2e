"""The one cost function: how long an instruction keeps its engine busy."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.nki.cycles import OperandShape, Work
from nkigen_cp.ir.nki.kernel import Buffer, Instruction, View
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.ir.nki.views import innermost_stride, run_elements
from nkigen_cp.targets.target import Target

__all__ = ["OperandShape", "busy_ns", "instruction_cost_ns", "operand_shape"]


def busy_ns(
    target: Target,
    kind: str,
    engine: str,
    operands: Mapping[str, OperandShape],
    *,
    op: str = "add",
    ranks: int = 1,
) -> float:
    """Nanoseconds the instruction occupies its engine; an independent one may start right after.

    For ``dma_copy`` these are the DMA engines, taken together.

    ``operands`` are the tile operands by parameter name; row vectors may be left out. ``op`` is the
    operator of ``tensor_reduce``, ``ranks`` the size of replica groups. Never falls when a size
    grows.
    """
    work = Work(target=target, engine=engine, operands=operands, op=op, ranks=ranks)
    return COVERING[kind].cost(work)


def operand_shape(view: View, buffer: Buffer) -> OperandShape:
    """What cost needs to know of a view."""
    on_chip = buffer.memory.on_chip
    return OperandShape(
        memory=buffer.memory,
        dtype=buffer.dtype,
        partitions=view.partitions,
        free_size=view.free_size,
        innermost_stride=innermost_stride(view),
        run_bytes=run_elements(view, on_chip=on_chip) * buffer.dtype.size_bytes,
    )


def instruction_cost_ns(
    target: Target, instruction: Instruction, kernel_buffers: Mapping[str, Buffer]
) -> float:
    """``busy_ns`` of an instruction whose operands are views of ``kernel_buffers``."""
    shapes = {
        name: operand_shape(view, kernel_buffers[view.buffer])
        for name, view in instruction.args.items()
        if isinstance(view, View)
    }
    op, groups = instruction.args.get("op"), instruction.args.get("replica_group")
    return busy_ns(
        target,
        instruction.kind,
        instruction.engine,
        shapes,
        op=op if isinstance(op, str) else "add",
        ranks=len(groups[0]) if isinstance(groups, tuple) else 1,
    )
