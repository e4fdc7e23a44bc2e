"""Tiny kernels for tests: buffers, views and whole kernels in one call each."""

from __future__ import annotations

from collections.abc import Sequence

from nkigen_cp.ir.dtypes import dtype
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
    Repeat,
    Statement,
    View,
)

ENGINES = {
    "dma_copy": "dma",
    "nc_matmul": "tensor",
    "nc_transpose": "tensor",
    "activation": "scalar",
    "iota": "gpsimd",
    "affine_select": "gpsimd",
}


def var(name: str, stride: int = 1, const: int = 0) -> Affine:
    return Affine(const=const, terms=(LoopTerm(var=name, stride=stride),))


def buffer(
    name: str,
    shape: tuple[int, ...],
    memory: str = "sbuf",
    kind: str = "float32",
    *,
    tensor: str = "",
    copies: int = 1,
) -> Buffer:
    return Buffer(
        name=name,
        shape=shape,
        dtype=dtype(kind),
        memory=Memory(memory),
        tensor=tensor,
        copies=copies,
    )


def view(
    of: Buffer,
    *index: Index,
    shape: tuple[int, ...] | None = None,
    dims: Sequence[Kept | Repeat] | None = None,
) -> View:
    """The whole buffer, or the given index per leading dim; ``dims`` defaults to all in order."""
    shape = shape or of.shape
    full = tuple(index) + tuple(Index(size=n) for n in shape[len(index) :])
    kept = tuple(dims) if dims is not None else tuple(Kept(dim=d) for d in range(len(shape)))
    return View(buffer=of.name, shape=shape, index=full, dims=kept)


def at(start: int | Affine, size: int, step: int = 1) -> Index:
    return Index(
        start=start if isinstance(start, Affine) else Affine(const=start), size=size, step=step
    )


def op(kind: str, engine: str = "", **args: Operand) -> Instruction:
    return Instruction(kind=kind, engine=engine or ENGINES.get(kind, "vector"), args=args)


def loop(name: str, upper: int | Affine, *body: Statement, lower: int | Affine = 0) -> Loop:
    bounds = [b if isinstance(b, Affine) else Affine(const=b) for b in (lower, upper)]
    return Loop(var=name, lower=bounds[0], upper=bounds[1], body=body)


def kernel(buffers: Sequence[Buffer], *body: Statement, alloc: bool = True) -> Kernel:
    """A trn2 kernel; on-chip and scratch buffers are allocated first unless ``alloc`` is off."""
    given = (Memory.INPUT, Memory.UPDATED)
    inner = [b for b in buffers if b.memory not in (*given, Memory.OUTPUT)]
    head = tuple(Alloc(buffer=b) for b in inner) if alloc else ()
    return Kernel(
        name="tiny",
        target_name="trn2",
        inputs=tuple(b.name for b in buffers if b.memory in given),
        outputs=tuple(b.name for b in buffers if b.memory is Memory.OUTPUT),
        buffers={b.name: b for b in buffers},
        body=head + body,
    )
