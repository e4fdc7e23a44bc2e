"""A graph under edit: what the rewrites change, frozen again at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Array, Graph, Immediate, Input, Op, Operand, Tensor
from nkigen_cp.ir.tensor.table import OPS, Family

# How the front end calls what no variable holds: the op's kind and a number.
_NUMBERED = re.compile(rf"(.*\.)?({'|'.join(OPS)})_\d+")


class Draft:
    """A mutable copy of a graph that knows who writes and who reads every tensor.

    ``order`` lists the ops so that every op follows the ops it reads from; ``version`` counts the
    edits, so a pass that changed nothing is one that left it alone.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.ops: dict[str, Op] = {}
        self.order: list[str] = []
        self.version = 0
        self.protected = frozenset((*graph.result_names, *graph.mutated))
        self._made: dict[str, None] = {}
        self._writers: dict[str, dict[str, None]] = {}
        self._readers: dict[str, dict[str, None]] = {}
        for op in graph.topological():
            self.order.append(op.name)
            self._link(op)

    def __iter__(self) -> Iterator[Op]:
        """The ops in order, as they are when their turn comes; ops added meanwhile are left out."""
        for name in tuple(self.order):
            if name in self.ops:
                yield self.ops[name]

    def _link(self, op: Op) -> None:
        self.ops[op.name] = op
        self.version += 1
        for operand in op.operands:
            self._readers.setdefault(operand.tensor, {})[op.name] = None
        for out in op.outputs:
            self._writers.setdefault(out.tensor, {})[op.name] = None

    def _unlink(self, name: str) -> None:
        op = self.ops[name]
        for operand in op.operands:
            self._readers[operand.tensor].pop(name, None)
        for out in op.outputs:
            self._writers[out.tensor].pop(name, None)

    def add(self, op: Op, before: str) -> None:
        """Put a new op right before another one."""
        self.order.insert(self.order.index(before), op.name)
        self._link(op)

    def replace(self, op: Op) -> None:
        """Put an op in the place of the op of the same name."""
        self._unlink(op.name)
        self._link(op)

    def remove(self, name: str) -> None:
        """Take an op out; its tensors stay until ``freeze`` drops what nothing mentions."""
        self._unlink(name)
        del self.ops[name]
        self.order.remove(name)
        self.version += 1

    def writers(self, tensor: str) -> tuple[Op, ...]:
        """The ops that write a tensor."""
        return tuple(self.ops[n] for n in self._writers.get(tensor, ()))

    def readers(self, tensor: str) -> tuple[Op, ...]:
        """The ops that read a tensor."""
        return tuple(self.ops[n] for n in self._readers.get(tensor, ()))

    def is_fixed(self, tensor: str) -> bool:
        """Whether a tensor keeps its name and dtype: an input, an output or a constant."""
        given = tensor in self.graph.input_names or tensor in self.constants
        return given or tensor in self.protected

    def producer(self, tensor: str) -> Op | None:
        """The only op that writes a tensor and nothing else, or None."""
        writers = self.writers(tensor)
        return writers[0] if len(writers) == 1 and len(writers[0].outputs) == 1 else None

    def family(self, op: Op) -> Family:
        """The family of an op's row in the op table."""
        return OPS[op.kind].family

    def dtype(self, tensor: str) -> DType:
        """The element type of a tensor."""
        return self.tensors[tensor].dtype

    def is_float(self, value: Input) -> bool:
        """Whether an input is a tensor of floats or a Python float."""
        if isinstance(value, Immediate):
            return isinstance(value.value, float)
        return self.dtype(value.tensor).is_float

    def new_op_name(self, stem: str) -> str:
        """A name no op has: the stem, or the stem with a number."""
        return _unused(stem, self.ops)

    def new_tensor(self, stem: str, like: Tensor) -> str:
        """Add a tensor with the shape, dtype and axes of ``like``; returns its unused name."""
        name = _unused(stem, self.tensors)
        self._made[name] = None
        self.tensors[name] = replace(like, name=name)
        return name

    def retype(self, tensor: str, dtype: DType) -> None:
        """Give a tensor another element type, also in the attributes of the ops that write it."""
        self.tensors[tensor] = replace(self.tensors[tensor], dtype=dtype)
        self.version += 1
        for op in self.writers(tensor):
            if "dtype" in op.attrs:
                self.replace(replace(op, attrs={**op.attrs, "dtype": dtype.name}))

    def read_instead(self, reader: Op, old: str, new: str) -> None:
        """Let an op read ``new`` wherever it reads ``old``, with the same index maps."""
        op = self.ops[reader.name]
        self.replace(replace(op, inputs=tuple(_moved(i, old, new) for i in op.inputs)))

    def rename(self, old: str, new: str) -> None:
        """Let all ops that write or read ``old`` write or read ``new`` instead."""
        for op in self.writers(old):
            outputs = tuple(_renamed(o, old, new) for o in op.outputs)
            self.replace(replace(op, outputs=outputs))
        for op in self.readers(old):
            self.read_instead(op, old, new)

    def unite(self, first: str, second: str) -> None:
        """Let two tensors be one, under the first name unless only the second is telling.

        A protected name is the most telling one, a user's variable comes next, then the number of
        an op; at most one of the two may be protected.
        """
        old, new = (second, first) if self._rank(first) >= self._rank(second) else (first, second)
        self.rename(old, new)

    def _rank(self, name: str) -> int:
        if name in self.protected:
            return 3
        if name in self._made:
            return 0
        return 1 if _NUMBERED.fullmatch(name) else 2

    def freeze(self) -> Graph:
        """The graph as it stands, without tensors and constants that nothing mentions."""
        used = dict.fromkeys((*self.graph.input_names, *self.graph.result_names))
        for name in self.order:
            op = self.ops[name]
            used.update(dict.fromkeys(o.tensor for o in (*op.operands, *op.outputs)))
        return replace(
            self.graph,
            tensors={n: t for n, t in self.tensors.items() if n in used},
            ops={n: self.ops[n] for n in self.order},
            constants={n: a for n, a in self.constants.items() if n in used},
        )


def _unused(stem: str, taken: dict[str, Op] | dict[str, Tensor]) -> str:
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name


def _renamed(operand: Operand, old: str, new: str) -> Operand:
    return replace(operand, tensor=new) if operand.tensor == old else operand


def _moved(value: Input, old: str, new: str) -> Input:
    return value if isinstance(value, Immediate) else _renamed(value, old, new)
