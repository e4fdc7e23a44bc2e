"""What collectives cost, through the one cost function."""

from __future__ import annotations

from nkigen_cp.ir.nki.cost import busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.tensor.collective_rows import groups_of
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.price_dma import Priced, tile
from nkigen_cp.solver.plan import Exchange, Step


def priced(facts: Facts, step: Step) -> Priced:
    """One collective over whole tensors."""
    spec = step.spec
    assert isinstance(spec, Exchange)
    op = facts.program.graph.ops[spec.op]
    names = {"dst": op.outputs[0].tensor, "src": op.operands[0].tensor}
    whole = {side: facts.program.graph.tensors[name] for side, name in names.items()}
    sides = {side: tile(Memory.HBM, t.dtype, 1, t.size) for side, t in whole.items()}
    ranks = len(groups_of(op)[0])
    yield "dma", busy_ns(facts.target, op.kind, "dma", sides, ranks=ranks)
