"""Views disappear: copies are composed into the accesses of their readers and writers.

A copy read through composes into its consumers' accesses. A piece of a concatenation is written by
its producer straight into the window, so that tensor and window become one. What remains as a copy
op really moves data: it changes a dtype, or its source has another home already.
"""

from __future__ import annotations

from dataclasses import replace

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp, Program
from nkigen_cp.ir.tensor.graph import Immediate


def compose_views(program: Program) -> Program:
    """The same program with every composable copy removed and unread ops dropped."""
    ops = dict(program.ops)
    tensors = program.tensors
    for name in list(ops):
        op = ops[name]
        if op.kind == "copy" and _same_dtype(program, op):
            if _reads_through(program, ops, op):
                ops = _into_consumers(ops, op)
            elif _writes_through(program, ops, op):
                ops = _into_producers(ops, op)
    ops = _alive(program, ops)
    used = {a.tensor for o in ops.values() for a in (*o.accesses, o.output)}
    used |= {*program.inputs, *program.outputs}
    return replace(
        program,
        ops=ops,
        tensors={n: t for n, t in tensors.items() if n in used},
        constants={n: c for n, c in program.constants.items() if n in used},
    )


def _same_dtype(program: Program, op: FactorOp) -> bool:
    source, target = op.accesses[0].tensor, op.output.tensor
    return program.tensors[source].dtype == program.tensors[target].dtype


def _writers(ops: dict[str, FactorOp], tensor: str) -> list[FactorOp]:
    return [o for o in ops.values() if o.output.tensor == tensor]


def _is_whole(program: Program, access: Access) -> bool:
    """Every factor addressed by a digit of its own from its start to its end, so it inverts."""
    tensor = program.tensors[access.tensor]
    return len(set(access.digits)) == len(tensor.factors) and all(
        i.offset == 0 and i.step == 1 for i in access.index
    )


def _reads_through(program: Program, ops: dict[str, FactorOp], op: FactorOp) -> bool:
    target = op.output.tensor
    return (
        target not in program.outputs
        and len(_writers(ops, target)) == 1
        and _is_whole(program, op.output)
        and not any(o.kind == "reshape" and o.accesses[0].tensor == target for o in ops.values())
    )


def _writes_through(program: Program, ops: dict[str, FactorOp], op: FactorOp) -> bool:
    """The source is an intermediate of its own that fills the window completely."""
    source = op.accesses[0].tensor
    home = (*program.inputs, *program.outputs, *program.constants)
    writers = _writers(ops, source)
    readers = [o for o in ops.values() if any(a.tensor == source for a in o.accesses)]
    return (
        source not in home
        and _is_whole(program, op.accesses[0])
        and set(op.accesses[0].digits) == {d.name for d in op.digits}
        and all(o.kind not in ("reshape", "copy") for o in writers)
        and not any(o.kind == "reshape" for o in readers)
        and bool(writers)
    )


def _follow(outer: Access, through: Access, target: Access) -> Access:
    """Address ``target`` by way of a copy: ``outer`` reads what ``through`` addresses."""
    by_digit = {
        t.digit: o for t, o in zip(through.index, outer.index, strict=True) if t.digit is not None
    }
    index: list[FactorIndex] = []
    for i in target.index:
        if i.digit is None:
            index.append(i)
            continue
        o = by_digit[i.digit]
        index.append(
            FactorIndex(
                digit=o.digit, offset=i.offset + i.step * o.offset, step=i.step * o.step
            )
        )
    return Access(tensor=target.tensor, index=tuple(index))


def _into_consumers(ops: dict[str, FactorOp], copy: FactorOp) -> dict[str, FactorOp]:
    def redirect(i: Access | Immediate) -> Access | Immediate:
        if isinstance(i, Access) and i.tensor == copy.output.tensor:
            return _follow(i, copy.output, copy.accesses[0])
        return i

    return {
        n: replace(o, inputs=tuple(redirect(i) for i in o.inputs))
        for n, o in ops.items()
        if n != copy.name
    }


def _into_producers(ops: dict[str, FactorOp], copy: FactorOp) -> dict[str, FactorOp]:
    source, window = copy.accesses[0], copy.output

    def redirect(i: Access | Immediate) -> Access | Immediate:
        if isinstance(i, Access) and i.tensor == source.tensor:
            return _follow(i, source, window)
        return i

    out: dict[str, FactorOp] = {}
    for name, op in ops.items():
        if name == copy.name:
            continue
        inputs = tuple(redirect(i) for i in op.inputs)
        output = redirect(op.output)
        assert isinstance(output, Access)
        out[name] = replace(op, inputs=inputs, output=output)
    return out


def _alive(program: Program, ops: dict[str, FactorOp]) -> dict[str, FactorOp]:
    needed = set(program.outputs)
    alive: dict[str, FactorOp] = {}
    for name in reversed(list(ops)):
        op = ops[name]
        if op.output.tensor in needed:
            alive[name] = op
            needed |= {a.tensor for a in op.accesses}
    return {n: ops[n] for n in ops if n in alive}
