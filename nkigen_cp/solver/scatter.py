"""Candidates of scatters: a copy in HBM unless it is in place, and one DMA per index into it."""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import runs
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.plan import Scatter
from nkigen_cp.solver.plan.layout import Run, operand_layout
from nkigen_cp.solver.plan.values import put_store
from nkigen_cp.solver.store_cost import Ends, dma_ns, store_busy_ns


def scatter_candidates(context: Context, op: FactorOp) -> list[Candidate]:
    """All digits that may lie on the partitions of what is written."""
    program, target = context.program, context.target
    base, index, given = op.accesses
    tensors = [program.tensors[a.tensor] for a in (base, index, given)]
    result = program.tensors[op.output.tensor]
    at = operand_layout(tensors[1], index, Run(partitions=1))
    loops = tuple(d.name for d in op.digits if d.name in index.digits)
    ends = Ends(source=tensors[0], into=result, memory=Memory.HBM)
    in_place = program.renewed(result.name) is not None
    copied = 0.0 if in_place else dma_ns(target, ends, 1, result.size, result.size)
    found: list[Candidate] = []
    for run in runs(replace(op, output=given), target):
        held = operand_layout(tensors[2], given, run)
        if held is None or set(run.digits) & set(loops) or (run.digits and not held.partition):
            continue
        spec = Scatter(op=op.name, run=run, loops=loops)
        written = store_busy_ns(target, tensors[2], result, held, put_store(op, spec))
        found.append(
            Candidate(
                ops=(op.name,),
                spec=spec,
                needs=(
                    Need(slot="base", tensor=base.tensor, layout=None),
                    Need(slot="index", tensor=index.tensor, layout=at),
                    Need(slot="values", tensor=given.tensor, layout=held),
                ),
                makes=(Need(slot="dst", tensor=result.name, layout=None),),
                busy_ns=rounded({"dma": copied + written}),
            )
        )
    return found
