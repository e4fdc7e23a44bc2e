"""Replication: a row on one partition becomes the same row on all of them."""

from __future__ import annotations

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.kernel import Affine, Memory, View
from nkigen_cp.lowering.builder import Builder, Range
from nkigen_cp.lowering.place import (
    Box,
    PlacedDim,
    Placement,
    buffer_shape,
    view,
    whole,
)
from nkigen_cp.solver.plan import Layout, Replicate, Run
from nkigen_cp.solver.plan.layout import own_access


def lower_replicate(b: Builder, source: Placement, target: Placement, spec: Replicate) -> None:
    """Ones (1, P) as stationary x row (1, N) as moving puts the row on all partitions."""
    tensor, layout = target.tensor, target.layout
    assert layout is not None
    run = Run(partitions=layout.replicas)
    ones = b.buffer(
        f"{tensor.name}_ones", (1, layout.replicas), tensor.dtype, Memory.SBUF, note="ones"
    )
    row = whole(ones)
    digits = [f.name for f in tensor.factors if f.name not in layout.fixed_names]
    b.emit("memset", "gpsimd", {"dst": row, "value": 1.0}, note=f"replicate {tensor.name}")
    _replicate_loops(b, source, target, spec, row, run, digits, {})


def _replicate_loops(  # noqa: PLR0913, PLR0917
    b: Builder,
    source: Placement,
    target: Placement,
    spec: Replicate,
    row: View,
    run: Run,
    digits: list[str],
    at: dict[str, Range],
) -> None:
    tensor = target.tensor
    block = {t.digit: t.block for t in spec.tiles}
    if digits:
        name = digits[0]
        for r in b.tiles(name, tensor.factor(name).size, block.get(name, 1)):
            _replicate_loops(b, source, target, spec, row, run, digits[1:], {**at, name: r})
        return
    access = own_access(tensor, target.layout.fixed if target.layout else ())
    order = tuple(t.digit for t in spec.tiles)
    dims = tuple(PlacedDim(factor=n, size=at[n].size, base=at[n].start) for n in order)
    buffer = b.buffer(
        f"{tensor.name}_ps",
        buffer_shape(run.partitions, dims),
        FLOAT32,
        Memory.PSUM,
        tensor=tensor.name,
        note="replicated over the partitions",
        copies=4,
    )
    psum = Placement(
        buffer=buffer, tensor=tensor, layout=Layout(replicas=run.partitions), dims=dims
    )
    box = Box(run=run, rows=run.partitions, ranges=at, order=order)
    one = Box(rows=1, ranges=at, order=order)
    b.emit(
        "nc_matmul",
        "tensor",
        {
            "dst": view(psum, access, box),
            "stationary": row,
            "moving": view(source, access, one),
            "accumulate": Affine(),
        },
        note=f"replicate {tensor.name}",
    )
    args = {"dst": view(target, access, box), "src": view(psum, access, box)}
    b.emit("tensor_copy", spec.engine, args, note=f"replicate {tensor.name}")
