"""The tensor graph: ops, tensors and the index maps between them, held in a networkx DAG.

An op runs over a box of iteration axes. Every operand says, per dim of its tensor, which position
an iteration addresses: ``offset + sum(stride * axis)``. A broadcast dim uses no axis; a slice has
an offset; a reshape that nests writes ``h * 64 + d``. Views are therefore nothing but ``copy`` ops.
One dim of a gather's table is addressed by data: by the value of the op's index operand.
A tensor may have several producers that write disjoint windows (concatenation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from nkigen_cp.errors import GraphError
from nkigen_cp.ir.dtypes import DType

Attr = int | float | str | bool | tuple[int, ...]
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where in the user's program an op was written."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One iteration axis of an op; a reduced axis is indexed by no output.

    A ``whole`` axis is one along which the op needs or makes all positions at once.
    """

    name: str
    size: int
    reduced: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """``stride * iteration[axis]``."""

    axis: int
    stride: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DimIndex:
    """Position along one dim of a tensor: ``offset + sum(terms)``.

    Of the ``picked`` positions from ``offset`` on the op's index operand picks one (0: no dim of
    that kind). Such a dim has no terms.
    """

    offset: int = 0
    terms: tuple[Term, ...] = ()
    picked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor and how the op's iteration addresses it: one DimIndex per dim."""

    tensor: str
    index: tuple[DimIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Immediate:
    """A scalar operand known at compile time."""

    value: float | int


Input = Operand | Immediate


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A value of the program; shape () is a scalar. ``axes`` has one name per dim."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    axes: tuple[str, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def size_bytes(self) -> int:
        return self.size * self.dtype.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One op: a row of the op table applied to operands over iteration axes."""

    name: str
    kind: str
    axes: tuple[Axis, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Operand, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict[str, Attr])
    source: Source | None = None

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The inputs that are tensors."""
        return tuple(i for i in self.inputs if isinstance(i, Operand))

    def where(self) -> str:
        return f" at {self.source}" if self.source else ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A tensor program. ``dag`` has one node per op name; edges follow from the operand lists.

    ``mutated`` maps inputs to the tensors that are their new values; no output is one of these.
    ``arguments`` and ``result`` are how the traced function was called and what it returned
    (``nkigen_cp.frontend.structure``: ``Arguments`` and ``Tree``); None for a graph built by hand.
    """

    name: str
    tensors: Mapping[str, Tensor]
    ops: Mapping[str, Op]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    constants: Mapping[str, Array] = field(default_factory=dict[str, Array])
    mutated: Mapping[str, str] = field(default_factory=dict[str, str])
    dag: nx.DiGraph[str] = field(init=False)
    arguments: Any = None
    result: Any = None

    def __post_init__(self) -> None:
        dag: nx.DiGraph[str] = nx.DiGraph()
        dag.add_nodes_from(self.ops)
        writers = self._writers()
        for op in self.ops.values():
            for operand in op.operands:
                for writer in writers.get(operand.tensor, ()):
                    dag.add_edge(writer, op.name, tensor=operand.tensor)
        object.__setattr__(self, "dag", dag)

    def _writers(self) -> dict[str, list[str]]:
        writers: dict[str, list[str]] = {}
        for op in self.ops.values():
            for out in op.outputs:
                writers.setdefault(out.tensor, []).append(op.name)
        return writers

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[n] for n in self.input_names)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[n] for n in self.output_names)

    @property
    def result_names(self) -> tuple[str, ...]:
        """What the program leaves behind: its outputs, then the new values of mutated inputs."""
        return (*self.output_names, *self.mutated.values())

    @property
    def results(self) -> tuple[Tensor, ...]:
        """The tensors of ``result_names``."""
        return tuple(self.tensors[n] for n in self.result_names)

    def producers(self, tensor: str) -> tuple[Op, ...]:
        """Ops that write the tensor, in program order (several if they write windows)."""
        return tuple(o for o in self.ops.values() if any(x.tensor == tensor for x in o.outputs))

    def consumers(self, tensor: str) -> tuple[Op, ...]:
        """Ops that read the tensor, in program order."""
        return tuple(o for o in self.ops.values() if any(x.tensor == tensor for x in o.operands))

    def topological(self) -> tuple[Op, ...]:
        """Ops in dependency order, ties by program order.

        Raises:
            GraphError: the graph has a cycle.
        """
        position = {name: i for i, name in enumerate(self.ops)}
        try:
            order = list(nx.lexicographical_topological_sort(self.dag, key=position.__getitem__))
        except nx.NetworkXUnfeasible as error:
            raise GraphError(f"graph {self.name!r} has a cycle") from error
        return tuple(self.ops[n] for n in order)


def identity_index(axes: Iterable[int]) -> tuple[DimIndex, ...]:
    """Index map in which dim k is addressed by iteration axis ``axes[k]`` alone (-1: broadcast)."""
    return tuple(DimIndex() if a < 0 else DimIndex(terms=(Term(axis=a),)) for a in axes)
