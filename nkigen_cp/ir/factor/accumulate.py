"""Reductions over a loop: every iteration's part is combined into an accumulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.factor.program import (
    Access,
    Digit,
    Factor,
    FactorIndex,
    FactorOp,
    FactorTensor,
    Program,
)
from nkigen_cp.ir.tensor.graph import Array
from nkigen_cp.ir.tensor.table import OPS, Family

COMBINE: Mapping[str, tuple[str, float]] = {
    "contract": ("add", 0.0),
    "sum": ("add", 0.0),
    "max": ("maximum", float(np.finfo(np.float32).min)),
    "min": ("minimum", float(np.finfo(np.float32).max)),
}
"""Reducing op -> the op that combines two partial results, and the value it starts from."""


def accumulated(program: Program) -> Program:
    """The program with every reduction over a loop split into one iteration's part and its sum.

    Sums are kept in float32, and rounded or put into their place once, at the end.
    """
    ops: dict[str, FactorOp] = {}
    tensors = dict(program.tensors)
    constants = dict(program.constants)
    carried: dict[str, str] = {}
    for op in program.ops.values():
        if not op.carried:
            ops[op.name] = op
            continue
        found = _split(program, op)
        ops |= {o.name: o for o in found.ops}
        tensors |= {t.name: t for t in found.tensors}
        constants[found.before] = found.start
        carried[found.before] = found.after
    if not carried:
        return program
    return replace(program, ops=ops, tensors=tensors, constants=constants, carried=carried)


def split_from(program: Program, name: str) -> str | None:
    """The op whose loops an op of the split program runs in: its own, or that it is a part of.

    None for the op that rounds a sum, outside of the loops over its parts.
    """
    base, _, role = name.rpartition(".")
    if role in ("part", "total") and f"{base}.part" in program.tensors:
        return base
    return None if f"{name}.total" in program.ops else name


class _Split:
    """``before`` and ``after`` name the accumulator, ``start`` is its first value."""

    __slots__ = ("after", "before", "ops", "start", "tensors")

    def __init__(self, after: FactorTensor, start: float) -> None:
        before = replace(after, name=f"{after.name}.before")
        self.before, self.after = before.name, after.name
        self.tensors = [after, before]
        self.ops: list[FactorOp] = []
        self.start: Array = np.broadcast_to(_stored(start, after.dtype), after.shape)


def _stored(value: float, dtype: DType) -> Array:
    """The value, or what comes closest to it in a type of integers."""
    if not dtype.is_float:
        info = np.iinfo("uint8" if dtype.kind == "bool" else dtype.name)
        value = int(min(max(value, info.min), info.max))
    return np.asarray(value, dtype.numpy)


def _split(program: Program, op: FactorOp) -> _Split:
    combine, start = COMBINE[op.kind]
    out = program.tensors[op.output.tensor]
    kind = FLOAT32 if combine == "add" and out.dtype.size_bytes < FLOAT32.size_bytes else out.dtype
    # What others write pieces of is no accumulator: the sum is copied into its piece.
    exact = kind == out.dtype and program.producers(out.name) == (op,)
    total = out if exact else replace(out, name=f"{op.name}.total", dtype=kind)
    found = _Split(total, start)
    part = _part(program, op, total)
    found.tensors.append(part)
    written = replace(
        op.output,
        tensor=part.name,
        index=(*op.output.index, *(FactorIndex(digit=None, loop=k) for k in _summed(op))),
    )
    reduces = any(d.reduced for d in op.digits)
    made = op.kind if reduces or OPS[op.kind].family is Family.CONTRACT else "copy"
    parallel = tuple(d for d in op.digits if not d.reduced)
    combined = replace(op.output, tensor=total.name)
    found.ops = [
        replace(op, name=f"{op.name}.part", kind=made, output=written),
        replace(
            op,
            name=op.name if exact else f"{op.name}.total",
            kind=combine,
            digits=parallel,
            inputs=(written, replace(op.output, tensor=found.before)),
            output=combined,
            attrs={},
        ),
    ]
    if not exact:
        trips = {k: loop.trips for k, loop in program.loops.items()}
        found.ops.append(_rounded(op, combined, trips))
    return found


def _part(program: Program, op: FactorOp, total: FactorTensor) -> FactorTensor:
    """One iteration's result: a tensor with the loops as further factors."""
    loops = tuple(Factor(name=k, size=program.loops[k].trips) for k in _summed(op))
    factors = (*total.factors, *loops)
    return replace(
        total,
        name=f"{op.name}.part",
        factors=factors,
        shape=tuple(f.size for f in factors),
        dtype=total.dtype if op.kind in ("max", "min") else FLOAT32,
    )


def _summed(op: FactorOp) -> tuple[str, ...]:
    """Loops that the result has no position of."""
    return tuple(k for k in op.carried if k not in op.output.loops)


def _rounded(op: FactorOp, total: Access, trips: Mapping[str, int]) -> FactorOp:
    """The sum where and as the graph has it, once it is whole: for all positions of inner loops."""
    inside = {k: trips[k] for k in op.carried if k in op.output.loops}

    def unlooped(access: Access) -> Access:
        index = (
            replace(i, digit=i.loop, loop=None) if i.loop in inside else i for i in access.index
        )
        return replace(access, index=tuple(index))

    extra = tuple(Digit(name=k, size=n) for k, n in inside.items())
    return replace(
        op,
        kind="copy",
        digits=(*extra, *(d for d in op.digits if not d.reduced)),
        inputs=(unlooped(total),),
        output=unlooped(op.output),
        attrs={},
        path=op.result_path,
    )
