from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.ir.dtypes import DType, dtype
from nkigen_cp.ir.tensor.graph import (
    Axis,
    DimIndex,
    Graph,
    Immediate,
    Input,
    Op,
    Operand,
    Tensor,
    Term,
    identity_index,
)
from nkigen_cp.ir.tensor.table import OPS, Family

Floats = NDArray[np.float64]


class Sketch:
    """Builds a graph op by op, the way a front end would; tensors are their names."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.ops: dict[str, Op] = {}
        self.inputs: list[str] = []
        self.constants: dict[str, Any] = {}

    def tensor(self, name: str, shape: Sequence[int], element: str | DType = "float32") -> str:
        axes = tuple(f"d{k}" for k in range(len(shape)))
        row = dtype(element)
        self.tensors[name] = Tensor(name=name, shape=tuple(shape), dtype=row, axes=axes)
        return name

    def input(self, name: str, shape: Sequence[int], element: str = "float32") -> str:
        self.inputs.append(name)
        return self.tensor(name, shape, element)

    def constant(self, name: str, array: Any) -> str:
        self.constants[name] = array
        return self.tensor(name, array.shape, dtype(array.dtype).name)

    def _read(self, name: str, rank: int) -> Operand:
        shape = self.tensors[name].shape
        first = rank - len(shape)
        axes = [-1 if size == 1 else first + k for k, size in enumerate(shape)]
        return Operand(tensor=name, index=identity_index(axes))

    def add(self, kind: str, axes: Sequence[Axis], inputs: Sequence[Input], out: Operand) -> str:
        name = f"{kind}_{len(self.ops)}"
        attrs = {"dtype": self.tensors[out.tensor].dtype.name} if kind == "copy" else {}
        self.ops[name] = Op(
            name=name,
            kind=kind,
            axes=tuple(axes),
            inputs=tuple(inputs),
            outputs=(out,),
            attrs=attrs,
        )
        return out.tensor

    def op(self, kind: str, *args: str | float, name: str = "", to: str | None = None) -> str:
        """An elementwise op, or a cast with ``to``, over the broadcast shapes of its operands."""
        reads = [a for a in args if isinstance(a, str)]
        shape = np.broadcast_shapes(*(self.tensors[r].shape for r in reads))
        rows = [self.tensors[r].dtype for r in reads]
        element = dtype(to) if to else max(rows, key=lambda d: d.size_bytes)
        result = self.tensor(name or f"t{len(self.ops)}", shape, element)
        inputs = [
            self._read(a, len(shape)) if isinstance(a, str) else Immediate(value=a) for a in args
        ]
        out = Operand(tensor=result, index=identity_index(range(len(shape))))
        return self.add(kind, _axes(shape), inputs, out)

    def cast(self, name: str, to: str, result: str = "") -> str:
        return self.op("copy", name, name=result, to=to)

    def reduce(self, kind: str, name: str, to: str | None = None) -> str:
        """Reduces the last dim and keeps it."""
        shape = self.tensors[name].shape
        last = len(shape) - 1
        kept = (*shape[:-1], 1)
        result = self.tensor(f"t{len(self.ops)}", kept, to or self.tensors[name].dtype)
        out = Operand(tensor=result, index=identity_index([*range(last), -1]))
        return self.add(kind, _axes(shape, last), [self._read(name, len(shape))], out)

    def matmul(self, left: str, right: str, to: str = "float32", name: str = "") -> str:
        (m, k), n = self.tensors[left].shape, self.tensors[right].shape[1]
        result = self.tensor(name or f"t{len(self.ops)}", (m, n), to)
        reads = [Operand(tensor=left, index=identity_index([0, 2]))]
        reads.append(Operand(tensor=right, index=identity_index([2, 1])))
        out = Operand(tensor=result, index=identity_index([0, 1]))
        return self.add("contract", _axes((m, n, k), 2), reads, out)

    def transpose(self, name: str) -> str:
        rows, columns = self.tensors[name].shape
        result = self.tensor(f"t{len(self.ops)}", (columns, rows), self.tensors[name].dtype)
        read = Operand(tensor=name, index=identity_index([1, 0]))
        out = Operand(tensor=result, index=identity_index([0, 1]))
        return self.add("copy", _axes((columns, rows)), [read], out)

    def slice(self, name: str, start: int, stop: int) -> str:
        rows = self.tensors[name].shape[0]
        element = self.tensors[name].dtype
        result = self.tensor(f"t{len(self.ops)}", (rows, stop - start), element)
        column = DimIndex(offset=start, terms=(Term(axis=1),))
        read = Operand(tensor=name, index=(*identity_index([0]), column))
        out = Operand(tensor=result, index=identity_index([0, 1]))
        return self.add("copy", _axes((rows, stop - start)), [read], out)

    def concat(self, *names: str, to: str = "float32") -> str:
        rows = self.tensors[names[0]].shape[0]
        widths = [self.tensors[n].shape[1] for n in names]
        result = self.tensor(f"t{len(self.ops)}", (rows, sum(widths)), to)
        for k, (name, width) in enumerate(zip(names, widths, strict=True)):
            column = DimIndex(offset=sum(widths[:k]), terms=(Term(axis=1),))
            out = Operand(tensor=result, index=(*identity_index([0]), column))
            self.add("copy", _axes((rows, width)), [self._read(name, 2)], out)
        return result

    def graph(self, *outputs: str, mutated: Mapping[str, str] | None = None) -> Graph:
        return Graph(
            name="sketch",
            tensors=self.tensors,
            ops=self.ops,
            input_names=tuple(self.inputs),
            output_names=outputs,
            constants=self.constants,
            mutated=mutated or {},
        )


def _axes(shape: Sequence[int], reduced: int = -1) -> list[Axis]:
    return [Axis(name=f"a{k}", size=s, reduced=k == reduced) for k, s in enumerate(shape)]


def _positions(op: Op, operand: Operand) -> tuple[Any, ...]:
    grids = np.indices([a.size for a in op.axes], sparse=True)
    box = [a.size for a in op.axes]
    zero = np.zeros(box, np.int64)
    return tuple(
        zero + d.offset + sum(t.stride * grids[t.axis] for t in d.terms) for d in operand.index
    )


def evaluate(graph: Graph, arrays: Mapping[str, Any]) -> dict[str, Floats]:
    """Every output in float64, without any rounding to the tensors' dtypes."""
    values: dict[str, Any] = {}
    for name, array in (*graph.constants.items(), *arrays.items()):
        values[name] = np.asarray(array, np.float64)
    for op in graph.topological():
        box = [a.size for a in op.axes]
        reads: list[Any] = [
            np.full(box, i.value, np.float64)
            if isinstance(i, Immediate)
            else np.broadcast_to(values[i.tensor][_positions(op, i)], box)
            for i in op.inputs
        ]
        reduced = tuple(k for k, a in enumerate(op.axes) if a.reduced)
        row, out = OPS[op.kind], op.outputs[0]
        places = _positions(op, out)
        if row.family is Family.CONTRACT:
            result = np.sum(reads[0] * reads[1], axis=reduced, keepdims=True)
        elif reduced:
            result = row.meaning(reads[0], axis=reduced, keepdims=True)
        else:
            result = row.meaning(*reads)
        shape = graph.tensors[out.tensor].shape
        values.setdefault(out.tensor, np.full(shape, np.nan))[places] = np.broadcast_to(result, box)
    return {name: values[name] for name in graph.output_names}


def check(before: Graph, after: Graph) -> None:
    """Both graphs compute the same, and only the core is left of the second."""
    rng = np.random.default_rng(0)
    arrays = {t.name: rng.uniform(0.5, 2.0, t.shape) for t in before.inputs}
    expected, found = evaluate(before, arrays), evaluate(after, arrays)
    for name in before.output_names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
    assert before.inputs == after.inputs
    assert before.outputs == after.outputs
    assert all(OPS[o.kind].family is not Family.COMPOSITE for o in after.ops.values())
