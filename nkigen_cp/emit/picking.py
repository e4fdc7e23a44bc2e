"""Views whose first dim is addressed by data: how they are written as an ``ap``.

On the HBM side of a DMA ``vector_offset`` gives the row of every partition, counted along dim 0 of
the tensor, and ``scalar_offset`` one position of any dim. Source: AWS Neuron SDK docs,
nki/deep-dives/nki-aps.rst and nki-dge.rst (NKI 0.6).
"""

from __future__ import annotations

from math import prod

from nkigen_cp.emit.registers import Base, indexed_base
from nkigen_cp.ir.nki.kernel import Buffer, View
from nkigen_cp.ir.nki.views import dims, row_major


def picked_base(view: View, buffer: Buffer, index: View) -> Base:
    """The shape the buffer is indexed in, and the dim of which the index counts positions."""
    stride = dims(view)[0].stride
    if index.partitions == 1:
        base = indexed_base(buffer, view.shape, stride)
        assert base is not None  # a dim's stride divides the size of its buffer
        return base
    shape = buffer.shape
    if row_major(shape)[0] != stride:
        shape = (prod(shape) // stride, stride)
    return Base(shape=shape, dim=0)


def spell_picked(view: View, index: View, base: Base, texts: tuple[str, str, str]) -> str:
    """The view at the index's positions; ``texts`` are the base's name, the offset and the index.

    Several of them, one per partition of the index, are rows.
    """
    name, offset, at = texts
    rest = [[d.stride, d.size] for d in dims(view)[1:]]
    rows = [[dims(view)[0].stride, index.partitions]]
    several = index.partitions > 1
    pattern = rows + rest if several else rest or [[1, 1]]
    word = "vector_offset" if several else "scalar_offset"
    return f"{name}.ap(pattern={pattern}, offset={offset}, {word}={at}, indirect_dim={base.dim})"
