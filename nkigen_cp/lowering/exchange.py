"""Collectives to instructions: whole HBM buffers."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.kernel import Buffer, Index, Kept, Operand, View
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.tensor.collective_rows import groups_of
from nkigen_cp.lowering.builder import Builder
from nkigen_cp.solver.plan import Exchange


def lower_exchange(
    b: Builder, program: Program, spec: Exchange, source: Buffer, target: Buffer
) -> None:
    """One instruction, in the user's dims."""
    op = program.graph.ops[spec.op]
    args: dict[str, Operand] = {
        "dst": _whole(target),
        "src": _whole(source),
        "replica_group": groups_of(op),
    }
    row = INSTRUCTIONS[op.kind]
    if row.parameter("collective_dim") is not None:
        args["collective_dim"] = 0
    if row.parameter("op") is not None:
        args["op"] = str(op.attrs["op"])
    b.emit(op.kind, "dma", args, ops=(op.name,), note=f"exchange {source.tensor} between ranks")


def _whole(buffer: Buffer) -> View:
    return View(
        buffer=buffer.name,
        shape=buffer.shape,
        index=tuple(Index(size=n) for n in buffer.shape),
        dims=tuple(Kept(dim=d) for d in range(len(buffer.shape))),
    )
