"""Graph -> Program: split dims into factors, then compose views away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.compose import compose_views
from nkigen_cp.ir.factor.cuts import Cut, Cuts, Sliding, find_cuts, slid
from nkigen_cp.ir.factor.program import (
    OPAQUE,
    Access,
    Digit,
    Factor,
    FactorIndex,
    FactorOp,
    FactorTensor,
    HbmWindow,
    Program,
    Slide,
)
from nkigen_cp.ir.factor.updates import separate_updates
from nkigen_cp.ir.factor.windows import separate_inputs, separate_outputs
from nkigen_cp.ir.tensor.graph import Axis, DimIndex, Graph, Immediate, Op, Operand, Tensor
from nkigen_cp.ir.tensor.table import OPS, Family


def refine(graph: Graph, wanted: Sequence[Cut] = ()) -> Program:
    """The factored program of a core graph: views composed away, ops in execution order.

    ``wanted`` are cuts that loops need besides those of the views.
    """
    separated, renewed = separate_updates(graph)
    separated, windows = separate_inputs(separated, renewed.updated)
    separated, pieces = separate_outputs(separated)
    pieces = {**renewed.pieces, **pieces}
    found = {**windows, **pieces}
    cuts = [*wanted, *(c for cut in wanted for c in _in_windows(separated, cut, found))]
    whole = _factored(separated, find_cuts(separated, cuts))
    bases = dict.fromkeys((*renewed.updated, *(p.base for p in pieces.values())))
    outputs = [
        name
        for out in graph.result_names
        if out not in renewed.returned
        for name in ([p for p, w in pieces.items() if w.base == out] if out in bases else [out])
    ]
    program = replace(
        whole,
        graph=graph,
        outputs=tuple(outputs),
        windows=windows,
        pieces=pieces,
        updated=renewed.updated,
        returned=renewed.returned,
    )
    return compose_views(program)


def _in_windows(graph: Graph, cut: Cut, windows: Mapping[str, HbmWindow]) -> list[Cut]:
    """A cut of a tensor that is used in windows, of those that have all of its dim."""
    shapes = {n: t.shape for n, t in graph.tensors.items()}
    parts = (p for p, w in windows.items() if w.base == cut.tensor)
    return [
        replace(cut, tensor=p) for p in parts if shapes[p][cut.dim] == shapes[cut.tensor][cut.dim]
    ]


def _factored(graph: Graph, cuts: Cuts) -> Program:
    tensors = {t.name: _tensor(t, cuts) for t in graph.tensors.values()}
    ops = {op.name: _op(graph, op, cuts) for op in graph.topological()}
    return Program(
        name=graph.name,
        graph=graph,
        tensors=tensors,
        ops=ops,
        inputs=graph.input_names,
        outputs=graph.result_names,
        constants=graph.constants,
    )


def _names(name: str, sizes: tuple[int, ...]) -> list[str]:
    return [name] if len(sizes) == 1 else [f"{name}.{k}" for k in range(len(sizes))]


def _tensor(tensor: Tensor, cuts: Cuts) -> FactorTensor:
    factors: list[Factor] = []
    for d, (name, size) in enumerate(zip(tensor.axes, tensor.shape, strict=True)):
        sizes = cuts.factors(("tensor", tensor.name, d), size)
        factors += [Factor(name=n, size=s) for n, s in zip(_names(name, sizes), sizes, strict=True)]
    return FactorTensor(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        factors=tuple(_unique(factors)),
    )


def _unique(factors: list[Factor]) -> list[Factor]:
    """Axis names may repeat (x @ x.T); factor names of one tensor may not."""
    seen: dict[str, int] = {}
    out: list[Factor] = []
    for f in factors:
        seen[f.name] = seen.get(f.name, 0) + 1
        name = f.name if seen[f.name] == 1 else f"{f.name}'{seen[f.name]}"
        out.append(Factor(name=name, size=f.size))
    return out


def _op(graph: Graph, op: Op, cuts: Cuts) -> FactorOp:
    if op.name in cuts.opaque:
        return _opaque(graph, op)
    digits = [_digits(op, a, axis, cuts) for a, axis in enumerate(op.axes)]

    def access(operand: Operand) -> Access:
        shape = graph.tensors[operand.tensor].shape
        index: list[FactorIndex] = []
        for d, (dim, size) in enumerate(zip(operand.index, shape, strict=True)):
            sizes = cuts.factors(("tensor", operand.tensor, d), size)
            moving = slid(op, dim)
            index += _dim_access(dim, sizes, digits) if moving is None else _window(moving, digits)
        return Access(tensor=operand.tensor, index=tuple(index))

    flat = tuple(d for axis in digits for d in axis)
    reduces = OPS[op.kind].family is Family.REDUCE and any(d.reduced for d in flat)
    return FactorOp(
        name=op.name,
        kind="copy" if OPS[op.kind].family is Family.REDUCE and not reduces else op.kind,
        digits=flat,
        inputs=tuple(i if isinstance(i, Immediate) else access(i) for i in op.inputs),
        output=access(op.outputs[0]),
        attrs=op.attrs,
        source=op.source,
    )


def _digits(op: Op, a: int, axis: Axis, cuts: Cuts) -> list[Digit]:
    sizes = cuts.factors(("op", op.name, a), axis.size)
    names = _names(f"{axis.name}#{a}", sizes)
    return [
        Digit(name=n, size=s, reduced=axis.reduced, whole=axis.whole)
        for n, s in zip(names, sizes, strict=True)
    ]


def _strides(sizes: tuple[int, ...] | list[int]) -> list[int]:
    strides, step = [0] * len(sizes), 1
    for k in range(len(sizes) - 1, -1, -1):
        strides[k], step = step, step * sizes[k]
    return strides


def _dim_access(
    dim: DimIndex, sizes: tuple[int, ...], digits: list[list[Digit]]
) -> list[FactorIndex]:
    """Spread ``offset + sum(stride * axis)`` over the factors of one dim."""
    strides = _strides(sizes)
    index = [
        FactorIndex(digit=None, offset=(dim.offset // s) % n)
        for s, n in zip(strides, sizes, strict=True)
    ]
    for term in dim.terms:
        inner = _strides([d.size for d in digits[term.axis]])
        for digit, digit_stride in zip(digits[term.axis], inner, strict=True):
            stride = abs(term.stride) * digit_stride
            k = next(k for k, s in enumerate(strides) if stride % s == 0 and stride >= s)
            index[k] = FactorIndex(
                digit=digit.name,
                offset=index[k].offset,
                step=stride // strides[k] * (1 if term.stride > 0 else -1),
            )
    if dim.picked:
        index[-1] = replace(index[-1], picked=dim.picked)
    return index


def _window(moving: Sliding, digits: list[list[Digit]]) -> list[FactorIndex]:
    """The one factor of a dim along which a window slides."""
    ((main,), (slide,)) = (digits[t.axis] for t in (moving.main, moving.slide))
    return [
        FactorIndex(
            digit=main.name,
            offset=moving.offset,
            step=moving.main.stride,
            slide=Slide(digit=slide.name, step=moving.slide.stride),
        )
    ]


def _opaque(graph: Graph, op: Op) -> FactorOp:
    """What no factoring serves, a view or a collective: an op that moves data through HBM."""
    source, target = op.operands[0].tensor, op.outputs[0].tensor
    return FactorOp(
        name=op.name,
        kind=op.kind if op.kind in OPAQUE else "reshape",
        digits=(),
        inputs=(Access(tensor=source, index=()),),
        output=Access(tensor=target, index=()),
        attrs=op.attrs,
        source=op.source,
    )
