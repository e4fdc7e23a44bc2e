"""The NKI IR: buffers, views, instructions and loops, all frozen values.

A view selects a box of a buffer by one affine index per dim and lists the resulting dims in order,
so strides, transposed free dims and stride-0 broadcasts are all one thing. Dim 0 of an on-chip view
is always the partition.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.targets.target import Target


class Memory(enum.Enum):
    """Where a buffer lives.

    INPUT and OUTPUT are HBM tensors that cross the kernel's border, UPDATED inputs that it may
    write to.
    """

    INPUT = "input"
    UPDATED = "updated input"
    OUTPUT = "output"
    HBM = "hbm"
    SBUF = "sbuf"
    PSUM = "psum"

    @property
    def on_chip(self) -> bool:
        return self in (Memory.SBUF, Memory.PSUM)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTerm:
    """``stride * loop variable``."""

    var: str
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """An integer that is affine in loop variables: ``const + sum(terms)``."""

    const: int = 0
    terms: tuple[LoopTerm, ...] = ()

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(const=self.const + other, terms=self.terms)
        strides = {t.var: t.stride for t in self.terms}
        for t in other.terms:
            strides[t.var] = strides.get(t.var, 0) + t.stride
        terms = tuple(LoopTerm(var=v, stride=s) for v, s in strides.items() if s)
        return Affine(const=self.const + other.const, terms=terms)

    def __mul__(self, factor: int) -> Affine:
        if not factor:
            return Affine()
        terms = tuple(LoopTerm(var=t.var, stride=t.stride * factor) for t in self.terms)
        return Affine(const=self.const * factor, terms=terms)

    def value(self, env: Mapping[str, int]) -> int:
        return self.const + sum(t.stride * env[t.var] for t in self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """On-chip place: first partition and byte offset within each partition."""

    partition: int
    offset_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A tensor of the kernel. On chip, ``shape[0]`` is the number of partitions (at most 128).

    ``tensor`` is the user's name for what it holds, ``note`` says which axis lies where.
    ``copies`` is the multi-buffering of a buffer allocated inside a loop.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    memory: Memory
    tensor: str = ""
    note: str = ""
    address: Address | None = None
    copies: int = 1

    @property
    def partition_bytes(self) -> int:
        """Bytes per partition of an on-chip buffer."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.size_bytes

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """``size`` positions from ``start`` in steps of ``step``, up or down, along one dim."""

    start: Affine = Affine()
    size: int
    step: int = 1

    @property
    def lowest(self) -> int:
        """The lowest position, counted from ``start``."""
        return min(0, (self.size - 1) * self.step)

    @property
    def highest(self) -> int:
        """The highest position, counted from ``start``."""
        return max(0, (self.size - 1) * self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A result dim of a view that is dim ``dim`` of the indexed shape."""

    dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A result dim of a view that repeats the data ``size`` times (stride 0)."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A box of a buffer.

    ``shape`` is the shape that is indexed: the buffer's own, or for an HBM buffer any row-major
    reshape of it. ``index`` has one entry per dim of ``shape``. ``dims`` orders the result's dims;
    a dim of ``shape`` that is not listed must have index size 1 and is dropped.
    On chip, ``dims[0]`` is ``Kept(dim=0)``.
    """

    buffer: str
    shape: tuple[int, ...]
    index: tuple[Index, ...]
    dims: tuple[Kept | Repeat, ...]

    @property
    def result_shape(self) -> tuple[int, ...]:
        return tuple(self.index[d.dim].size if isinstance(d, Kept) else d.size for d in self.dims)

    @property
    def partitions(self) -> int:
        """Size of the first result dim."""
        return self.result_shape[0]

    @property
    def free_size(self) -> int:
        """Elements per partition."""
        return int(np.prod(self.result_shape[1:], dtype=np.int64))


Operand = View | float | int | Affine | str | bool | tuple[tuple[int, ...], ...] | None
"""An instruction's parameter: a view, a number, an affine condition, a named choice, a pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One row of the instruction table applied to operands, on one engine.

    ``args`` maps the row's parameter names to operands. ALU operators and activation functions are
    strings (``"add"``, ``"exp"``). ``ops`` names the graph ops it computes and ``step`` the number
    of the plan's step that it carries out, for reports.
    """

    kind: str
    engine: str  # "tensor", "vector", "scalar", "gpsimd", "dma"
    args: Mapping[str, Operand]
    ops: tuple[str, ...] = ()
    note: str = ""
    step: int | None = None

    @property
    def label(self) -> str:
        """``kind on engine of ops``, for messages."""
        of = f" of {', '.join(self.ops)}" if self.ops else ""
        return f"{self.kind} on {self.engine}{of}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alloc:
    """A fresh on-chip or HBM scratch buffer; inside a loop, a fresh one per iteration."""

    buffer: Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """``for var in range(lower, upper)``; bounds may be affine in outer loop variables.

    ``delays`` pipeline the loop: one per statement of the body, or none at all. In turn ``t`` the
    statement with delay ``d`` runs at ``var = t - d``, if that is one of the loop's values. A
    buffer allocated in the body then has a tile per value of ``var``, ``copies`` at a time. What
    the loop computes is the same as without delays.
    """

    var: str
    lower: Affine = Affine()
    upper: Affine
    body: tuple[Statement, ...]
    note: str = ""
    delays: tuple[int, ...] = ()

    @property
    def depth(self) -> int:
        """Turns that follow the one in which the last iteration begins."""
        return max(self.delays, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A comment line of its own, for the reader of the source."""

    text: str


Statement = Alloc | Loop | Instruction | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Which part of a tensor an on-chip buffer holds, as the whole of it in one layout.

    ``factors`` are the sizes of the tensor's row-major factors; ``partition`` and ``free`` index
    them. ``block`` positions of the first partition factor are on the partitions at once; the rest
    are chunks, the first free dim if ``chunks`` is above 1.
    """

    tensor: str
    shape: tuple[int, ...]
    factors: tuple[int, ...]
    partition: tuple[int, ...]
    free: tuple[int, ...]
    block: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kernel:
    """A lowered program. ``buffers`` holds every buffer by name, also those of Alloc statements.

    ``inputs`` then ``bound_inputs`` are the parameters in order; ``outputs`` are returned in order.
    ``mutated_outputs`` follow them: output buffer -> input whose new value it holds.
    Rank-0 tensors have shape (1,). ``holdings`` says what whole-tensor buffers hold; ``graph`` and
    ``target`` are what the kernel was made from, None for a kernel built by hand.
    """

    name: str
    target_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    buffers: Mapping[str, Buffer]
    body: tuple[Statement, ...]
    bound_inputs: Mapping[str, NDArray[np.generic]] = field(
        default_factory=dict[str, NDArray[np.generic]]
    )
    mutated_outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    holdings: Mapping[str, Holding] = field(default_factory=dict[str, Holding])
    graph: Graph | None = None
    target: Target | None = None


def walk(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, loop bodies included, each once."""
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from walk(statement.body)
