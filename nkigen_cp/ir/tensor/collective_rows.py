"""Rows of the collectives: whole tensors in HBM, exchanged between the ranks of a group."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.ir.collectives import COLLECTIVES, Groups
from nkigen_cp.ir.tensor.graph import Attr, Graph, Op
from nkigen_cp.ir.tensor.row import Family, OpRow, Result

COLLECTIVE_ROWS: tuple[OpRow, ...] = tuple(
    OpRow(
        name=c.name,
        family=Family.COLLECTIVE,
        arity=1,
        meaning=c.exchange,
        result=Result.FIRST,
        doc=c.doc,
    )
    for c in COLLECTIVES.values()
)


def collective_attrs(groups: Groups, op: str) -> dict[str, Attr]:
    """The attributes of a collective; ``op`` is empty where nothing is reduced."""
    return {"ranks": tuple(r for group in groups for r in group), "group": len(groups[0]), "op": op}


def groups_of(op: Op) -> Groups:
    """The replica groups of a collective."""
    ranks, size = op.attrs["ranks"], op.attrs["group"]
    assert isinstance(ranks, tuple)
    assert isinstance(size, int)
    return tuple(ranks[k : k + size] for k in range(0, len(ranks), size))


def ranks_of(graph: Graph) -> int | None:
    """On how many ranks a graph runs; None if that is all the same to it."""
    found = (o for o in graph.ops.values() if o.kind in COLLECTIVES)
    return next((sum(map(len, groups_of(op))) for op in found), None)


def collective_problems(graph: Graph) -> Iterator[str]:
    """Shapes fit the groups; all collectives are over the same ranks."""
    ranks = ranks_of(graph)
    for op in graph.ops.values():
        if op.kind not in COLLECTIVES:
            continue
        groups = groups_of(op)
        source, result = (graph.tensors[o.tensor] for o in (*op.operands, *op.outputs))
        wanted = COLLECTIVES[op.kind].shape(source.shape, len(groups[0]))
        if result.shape != wanted:
            yield f"op {op.name!r} makes {result.shape} of {source.shape}, not {wanted}"
        if sum(map(len, groups)) != ranks:
            yield f"op {op.name!r} is over {sum(map(len, groups))} ranks, others over {ranks}"
