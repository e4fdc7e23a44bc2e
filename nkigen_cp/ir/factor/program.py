"""The factored program: the graph after every dim is split into factors and views are gone.

A tensor's dims become a row-major tuple of factors, an op's axes become digits, and every access
says per factor which digit addresses it. Reshapes, transposes, slices, broadcasts and
concatenations that nest have turned into such accesses and cost nothing by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.ir.collectives import COLLECTIVES
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Array, Attr, Graph, Immediate, Source

OPAQUE = ("reshape", *COLLECTIVES)
"""Kinds of ops whose index maps say nothing of what they read."""

WHOLE = (*OPAQUE, "scatter")
"""Kinds of ops that take their first operand, and make their result, as a whole in HBM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One factor of a dim; size 1 factors do not exist."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTensor:
    """A tensor as a row-major tuple of factors. ``shape`` is the user's."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    factors: tuple[Factor, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.size * self.dtype.size_bytes

    @property
    def dims(self) -> tuple[tuple[Factor, ...], ...]:
        """The factors of every dim of the shape, outermost first; none of a dim of one position."""
        left = list(self.factors)
        found: list[tuple[Factor, ...]] = []
        for size in self.shape:
            own: list[Factor] = []
            while math.prod(f.size for f in own) < size:
                own.append(left.pop(0))
            found.append(tuple(own))
        return tuple(found)

    def factor(self, name: str) -> Factor:
        return next(f for f in self.factors if f.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One iteration axis of a factored op; along a ``whole`` one all positions belong together."""

    name: str
    size: int
    reduced: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """A contracted digit that moves a window by ``step``: the kernel's place in a convolution."""

    digit: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorIndex:
    """Position along one factor: ``offset + step * digit``, or just ``offset`` without a digit.

    ``loop`` names the loop of a nest that counts the position instead of a digit. A ``slide`` adds
    ``step * digit`` of another digit, of which every instruction takes one position. Of the
    ``picked`` positions of a dim from ``offset`` on the op's index picks one: they are counted
    along the dim's innermost factor and on into its outer ones.
    """

    digit: str | None
    offset: int = 0
    step: int = 1
    loop: str | None = None
    slide: Slide | None = None
    picked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A tensor and one FactorIndex per factor."""

    tensor: str
    index: tuple[FactorIndex, ...]

    @property
    def digits(self) -> tuple[str, ...]:
        """Digits that address the tensor, in the tensor's row-major order."""
        return tuple(i.digit for i in self.index if i.digit is not None)

    @property
    def slides(self) -> tuple[str, ...]:
        """Digits that move windows of the tensor."""
        return tuple(i.slide.digit for i in self.index if i.slide is not None)

    @property
    def picks(self) -> bool:
        """Whether data addresses a dim of the tensor."""
        return any(i.picked for i in self.index)

    @property
    def loops(self) -> tuple[str, ...]:
        """Loops that address the tensor, in the tensor's row-major order."""
        return tuple(i.loop for i in self.index if i.loop is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOp:
    """A core op over digits, with exactly one result.

    ``path`` names the loops it runs in, outermost first; one iteration covers ``digits``.
    """

    name: str
    kind: str
    digits: tuple[Digit, ...]
    inputs: tuple[Access | Immediate, ...]
    output: Access
    attrs: Mapping[str, Attr] = field(default_factory=dict[str, Attr])
    source: Source | None = None
    path: tuple[str, ...] = ()
    accesses: tuple[Access, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = tuple(i for i in self.inputs if isinstance(i, Access))
        object.__setattr__(self, "accesses", found)

    @property
    def carried(self) -> tuple[str, ...]:
        """Loops over what the op reduces, with everything inside them: the result is of all."""
        if not self.path:
            return ()
        indexed = self.output.loops
        outside = [k for k, loop in enumerate(self.path) if loop not in indexed]
        return self.path[outside[0] :] if outside else ()

    @property
    def result_path(self) -> tuple[str, ...]:
        """The loops in one iteration of which the result is complete."""
        return self.path[: len(self.path) - len(self.carried)]

    @property
    def parallel(self) -> tuple[Digit, ...]:
        return tuple(d for d in self.digits if not d.reduced)

    @property
    def whole(self) -> tuple[str, ...]:
        """Digits that no partition, loop or tile takes apart: those of a function of rows."""
        return tuple(d.name for d in self.digits if d.whole)

    def size(self, digit: str) -> int:
        return next(d.size for d in self.digits if d.name == digit)

    def where(self) -> str:
        return f" at {self.source}" if self.source else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop around consecutive ops: ``digits`` gives each op's digit that it counts.

    ``copies`` is the multi-buffering of what lives for one iteration. In a ``segment`` the Tensor
    Engine does nothing after the first op, so that it runs ahead of the other engines.
    """

    name: str
    trips: int
    digits: Mapping[str, str]
    copies: int = 2
    segment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HbmWindow:
    """A tensor that is a window of ``base`` in HBM: its first position in every dim."""

    base: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A factored graph, ops in execution order.

    ``stored`` names tensors of which outputs are views that no op of the program makes any more;
    ``windows`` are the tensors that are parts of inputs, ``pieces`` those that make up outputs and
    stand for them in ``outputs``; ``loops`` those that ops' paths name.
    ``updated`` maps the new values of inputs that are updated in place to these inputs: two names
    of one place in HBM, the first of which is there once its pieces are stored. ``returned`` are
    outputs that are such new values and nothing else.
    ``carried`` maps the value of an accumulator before an iteration to that after it: two names of
    one place in memory.
    """

    name: str
    graph: Graph
    tensors: Mapping[str, FactorTensor]
    ops: Mapping[str, FactorOp]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    stored: tuple[str, ...] = ()
    windows: Mapping[str, HbmWindow] = field(default_factory=dict[str, HbmWindow])
    pieces: Mapping[str, HbmWindow] = field(default_factory=dict[str, HbmWindow])
    loops: Mapping[str, Loop] = field(default_factory=dict[str, Loop])
    updated: Mapping[str, str] = field(default_factory=dict[str, str])
    returned: Mapping[str, str] = field(default_factory=dict[str, str])
    carried: Mapping[str, str] = field(default_factory=dict[str, str])
    _writers: Mapping[str, tuple[FactorOp, ...]] = field(init=False, repr=False, compare=False)
    _readers: Mapping[str, tuple[FactorOp, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        writers: dict[str, list[FactorOp]] = {}
        readers: dict[str, list[FactorOp]] = {}
        for op in self.ops.values():
            writers.setdefault(op.output.tensor, []).append(op)
            for tensor in dict.fromkeys(a.tensor for a in op.accesses):
                readers.setdefault(tensor, []).append(op)
        object.__setattr__(self, "_writers", {t: tuple(o) for t, o in writers.items()})
        object.__setattr__(self, "_readers", {t: tuple(o) for t, o in readers.items()})

    @property
    def given(self) -> tuple[str, ...]:
        """What is in HBM without being stored whole: inputs, and their values after an update."""
        return (*self.inputs, *self.updated)

    def renewed(self, tensor: str) -> str | None:
        """The updated value of which a tensor is a piece."""
        piece = self.pieces.get(tensor)
        return piece.base if piece is not None and piece.base in self.updated else None

    def current(self, new: str) -> tuple[str, ...]:
        """The tensors that are there once an input is updated: its new value, and windows of it."""
        return (new, *(w for w, window in self.windows.items() if window.base == new))

    def outdated(self, new: str) -> tuple[str, ...]:
        """The tensors that an update overwrites: the input, and windows of it."""
        name = self.updated[new]
        return (name, *(w for w, window in self.windows.items() if window.base == name))

    def trips(self, path: Sequence[str]) -> int:
        """How often the body of the innermost of these nested loops runs."""
        return math.prod(self.loops[name].trips for name in path)

    def leaves(self, tensor: str) -> bool:
        """Whether the tensor, or a view of it, leaves the kernel."""
        return tensor in self.outputs or tensor in self.stored

    def producers(self, tensor: str) -> tuple[FactorOp, ...]:
        """Ops that write the tensor, in execution order."""
        return self._writers.get(tensor, ())

    def consumers(self, tensor: str) -> tuple[FactorOp, ...]:
        """Ops that read the tensor, in execution order."""
        return self._readers.get(tensor, ())
