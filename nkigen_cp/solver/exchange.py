"""Candidates of collectives."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import FactorOp, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.tensor.collective_rows import groups_of
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.plan import Exchange


def exchange_candidate(context: Context, op: FactorOp) -> Candidate:
    """A whole tensor in HBM exchanged with the other ranks of a group."""
    source, result = (context.program.tensors[a.tensor] for a in (*op.accesses, op.output))
    groups = groups_of(context.program.graph.ops[op.name])
    sides = {"dst": _flat(result), "src": _flat(source)}
    busy = busy_ns(context.target, op.kind, "dma", sides, ranks=len(groups[0]))
    return Candidate(
        ops=(op.name,),
        spec=Exchange(op=op.name),
        needs=(Need(slot="src", tensor=source.name, layout=None),),
        makes=(Need(slot="dst", tensor=result.name, layout=None),),
        busy_ns=rounded({"dma": busy}),
    )


def _flat(tensor: FactorTensor) -> OperandShape:
    return OperandShape(
        memory=Memory.HBM,
        dtype=tensor.dtype,
        partitions=1,
        free_size=tensor.size,
        run_bytes=tensor.size_bytes,
    )
