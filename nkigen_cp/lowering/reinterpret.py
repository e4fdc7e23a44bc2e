"""Views that no factoring serves: HBM to HBM in the user's own dims."""

from __future__ import annotations

from collections.abc import Sequence

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Index, Kept, Repeat, View
from nkigen_cp.ir.tensor.graph import DimIndex
from nkigen_cp.lowering.builder import Builder


def lower_reinterpret(
    b: Builder, program: Program, op_name: str, source: Buffer, target: Buffer
) -> None:
    """A window where every dim runs along one axis, else the whole tensor in row-major order."""
    op = program.graph.ops[op_name]
    read, write = op.operands[0].index, op.outputs[0].index
    if op.kind == "copy" and all(len(d.terms) <= 1 for d in (*read, *write)):
        sizes = [a.size for a in op.axes]
        args = {"dst": _window(target, write, sizes), "src": _window(source, read, sizes)}
    else:
        args = {"dst": flat(target), "src": flat(source)}
    b.emit("dma_copy", "dma", args, ops=(op_name,), note=f"reinterpret {source.tensor}")


def _window(buffer: Buffer, index: Sequence[DimIndex], sizes: Sequence[int]) -> View:
    """Dims in the order of the op's axes; axes that the buffer lacks repeat it."""
    indices: list[Index] = []
    dim_of: dict[int, int] = {}
    for d, dim in enumerate(index):
        start = Affine(const=dim.offset)
        if dim.terms:
            term = dim.terms[0]
            dim_of[term.axis] = d
            indices.append(Index(start=start, size=sizes[term.axis], step=term.stride))
        else:
            indices.append(Index(start=start, size=1))
    dims = tuple(
        Kept(dim=dim_of[a]) if a in dim_of else Repeat(size=n) for a, n in enumerate(sizes) if n > 1
    )
    # A buffer has a dim even where its tensor has none.
    return View(
        buffer=buffer.name,
        shape=buffer.shape,
        index=tuple(indices) or (Index(size=1),),
        dims=dims or (Kept(dim=len(buffer.shape) - 1),),
    )


def flat(buffer: Buffer) -> View:
    """All of a buffer in row-major order."""
    size = buffer.size_bytes // buffer.dtype.size_bytes
    return View(buffer=buffer.name, shape=(size,), index=(Index(size=size),), dims=(Kept(dim=0),))
