"""Writing NKI IR by hand: buffers, windows of them, loops and whole kernels in few words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import nkigen_cp as cp
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32, DType
from nkigen_cp.ir.nki.kernel import (
    Affine,
    Alloc,
    Buffer,
    Index,
    Instruction,
    Kept,
    Kernel,
    Loop,
    LoopTerm,
    Memory,
    Operand,
    Statement,
    View,
)

Window = tuple[Affine | int, int]
"""(first position, positions) along a dim."""


def window(
    buffer: Buffer,
    *windows: Window | None,
    shape: tuple[int, ...] | None = None,
    order: tuple[int, ...] | None = None,
) -> View:
    """A box of ``buffer``: all of a dim where no window is given.

    ``shape`` reshapes an HBM buffer, ``order`` lists the kept dims; by default dim 0 and all dims
    of more than one position.
    """
    shape = shape or buffer.shape
    given = (*windows, *([None] * (len(shape) - len(windows))))
    index = tuple(
        Index(size=n)
        if w is None
        else Index(start=w[0] if isinstance(w[0], Affine) else Affine(const=w[0]), size=w[1])
        for w, n in zip(given, shape, strict=True)
    )
    kept = order or (0, *(d for d in range(1, len(shape)) if index[d].size > 1))
    if len(kept) == 1:
        kept = (*kept, len(shape) - 1)
    dims = tuple(Kept(dim=d) for d in kept)
    return View(buffer=buffer.name, shape=shape, index=index, dims=dims)


class Draft:
    """A trn2 kernel being written; statements go to the innermost open loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.buffers: dict[str, Buffer] = {}
        self.open: list[list[Statement]] = [[]]
        self.names: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """``name``, numbered from its second use on."""
        n = self.names[name] = self.names.get(name, 0) + 1
        return name if n == 1 else f"{name}_{n}"

    def border(
        self, name: str, shape: tuple[int, ...], memory: Memory, dtype: DType = BFLOAT16
    ) -> Buffer:
        """An input or output of the kernel."""
        return self._declare(name, shape, memory, dtype, 1)

    def tile(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType = BFLOAT16,
        memory: Memory = Memory.SBUF,
        copies: int = 1,
    ) -> Buffer:
        """A fresh on-chip buffer, allocated here."""
        made = self._declare(name, shape, memory, dtype, copies)
        self.open[-1].append(Alloc(buffer=made))
        return made

    def bank(self, name: str, columns: int, copies: int = 1) -> Buffer:
        """A float32 PSUM tile of 128 partitions."""
        return self.tile(name, (128, columns), FLOAT32, Memory.PSUM, copies)

    def _declare(
        self, name: str, shape: tuple[int, ...], memory: Memory, dtype: DType, copies: int
    ) -> Buffer:
        made = Buffer(
            name=self.unique(name), shape=shape, dtype=dtype, memory=memory, copies=copies
        )
        self.buffers[made.name] = made
        return made

    @contextmanager
    def loop(self, name: str, trips: int) -> Generator[Affine]:
        """A loop; gives its variable."""
        var = self.unique(name)
        self.open.append([])
        yield Affine(terms=(LoopTerm(var=var, stride=1),))
        body = tuple(self.open.pop())
        self.open[-1].append(Loop(var=var, upper=Affine(const=trips), body=body))

    def emit(self, kind: str, engine: str, **args: Operand) -> None:
        """An instruction."""
        self.open[-1].append(Instruction(kind=kind, engine=engine, args=args, ops=(self.name,)))

    def dma(self, dst: View, src: View) -> None:
        self.emit("dma_copy", "dma", dst=dst, src=src)

    def matmul(self, dst: View, stationary: View, moving: View, adds: Affine | bool) -> None:
        """``dst (+)= stationary.T @ moving``."""
        self.emit(
            "nc_matmul",
            "tensor",
            dst=dst,
            stationary=stationary,
            moving=moving,
            accumulate=adds,
        )

    def copy(self, engine: str, dst: View, src: View) -> None:
        self.emit("tensor_copy", engine, dst=dst, src=src)

    def kernel(self) -> Kernel:
        """The finished kernel."""
        names = {m: tuple(n for n, b in self.buffers.items() if b.memory is m) for m in Memory}
        return Kernel(
            name=self.name,
            target_name=cp.TRN2.name,
            inputs=names[Memory.INPUT],
            outputs=names[Memory.OUTPUT],
            buffers=self.buffers,
            body=tuple(self.open[0]),
            target=cp.TRN2,
        )
