"""Tensors without elements: nothing is computed for them, and nothing of them crosses HBM.

A reduction over no positions is a constant: what numpy gives for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nkigen_cp.ir.tensor.graph import Array, Axis, Graph, Op, Operand, Tensor, identity_index
from nkigen_cp.ir.tensor.table import OPS, Family


def without_empty(graph: Graph) -> Graph:
    """The graph without tensors of size 0, also among its inputs and outputs."""
    void = [n for n, t in graph.tensors.items() if t.size == 0]
    idle = [o.name for o in graph.ops.values() if any(a.size == 0 for a in o.axes)]
    if not void and not idle:
        return graph
    ops: dict[str, Op] = {}
    tensors = {n: t for n, t in graph.tensors.items() if n not in void}
    constants = {n: a for n, a in graph.constants.items() if n not in void}
    for op in graph.ops.values():
        name = op.outputs[0].tensor
        if name in void or any(a.size == 0 and not a.reduced for a in op.axes):
            continue
        ops[op.name] = op
        if op.name in idle:
            made = _nothing_reduced(op, graph.tensors[name])
            source = f"{name}_of_nothing"
            tensors[source] = replace(graph.tensors[name], name=source)
            constants[source] = made
            ops[op.name] = _copied(op, tensors[name], source)
    return replace(
        graph,
        tensors=tensors,
        ops=ops,
        constants=constants,
        input_names=tuple(n for n in graph.input_names if n not in void),
        output_names=tuple(n for n in graph.output_names if n not in void),
        mutated=_kept(graph.mutated, void),
    )


def _kept(mutated: Mapping[str, str], void: list[str]) -> dict[str, str]:
    return {n: new for n, new in mutated.items() if n not in void}


def _nothing_reduced(op: Op, tensor: Tensor) -> Array:
    """What a reduction over no positions gives."""
    row = OPS[op.kind]
    if row.family is Family.CONTRACT:
        return np.zeros(tensor.shape, tensor.dtype.numpy)
    reduced = tuple(k for k, a in enumerate(op.axes) if a.reduced)
    with np.errstate(all="ignore"):
        values = row.meaning(np.zeros([a.size for a in op.axes], np.float32), axis=reduced)
    made: Array = np.asarray(values).astype(tensor.dtype.numpy)
    return np.reshape(made, tensor.shape)


def _copied(op: Op, tensor: Tensor, source: str) -> Op:
    """The op as a copy of a constant."""
    index = identity_index(range(len(tensor.shape)))
    axes = (Axis(name=n, size=s) for n, s in zip(tensor.axes, tensor.shape, strict=True))
    return replace(
        op,
        kind="copy",
        axes=tuple(axes),
        inputs=(Operand(tensor=source, index=index),),
        outputs=(Operand(tensor=tensor.name, index=index),),
        attrs={"dtype": tensor.dtype.name},
    )
