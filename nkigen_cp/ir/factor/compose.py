"""Views disappear: copies are composed into the accesses of their readers and writers.

A copy read through composes into its consumers' accesses. A piece of a concatenation is written by
its producer straight into the window, so that tensor and window become one. What remains as a copy
op really moves data: it changes a dtype, or its source has another home already.
"""

from __future__ import annotations

from dataclasses import replace

import networkx

from nkigen_cp.ir.factor.program import WHOLE, Access, FactorIndex, FactorOp, Program
from nkigen_cp.ir.tensor.graph import Immediate


def compose_views(program: Program) -> Program:
    """The same program with every composable copy removed and unread ops dropped."""
    ops = dict(program.ops)
    for name in list(ops):
        op = ops.get(name)
        if op is not None and op.kind == "copy" and _same_dtype(program, op):
            if _reads_through(program, ops, op):
                ops = _into_consumers(ops, op, kept=op.output.tensor in program.outputs)
            else:
                ops = _pieces_through(program, ops, op.output.tensor)
    ops = _alive(program, ops)
    used = {a.tensor for o in ops.values() for a in (*o.accesses, o.output)}
    used |= {*program.given, *program.outputs, *(p.base for p in program.pieces.values())}
    return replace(
        program,
        ops=_ordered(ops),
        tensors={n: t for n, t in program.tensors.items() if n in used},
        constants={n: c for n, c in program.constants.items() if n in used},
    )


def _same_dtype(program: Program, op: FactorOp) -> bool:
    source, target = op.accesses[0].tensor, op.output.tensor
    return program.tensors[source].dtype == program.tensors[target].dtype


def _writers(ops: dict[str, FactorOp], tensor: str) -> list[FactorOp]:
    return [o for o in ops.values() if o.output.tensor == tensor]


def _readers(ops: dict[str, FactorOp], tensor: str) -> list[FactorOp]:
    return [o for o in ops.values() if any(a.tensor == tensor for a in o.accesses)]


def _is_whole(program: Program, op: FactorOp, access: Access) -> bool:
    """Every factor addressed by a digit of its own from its start to its end, so it inverts."""
    factors = program.tensors[access.tensor].factors
    return len(set(access.digits)) == len(factors) and all(
        i.digit is not None and i.offset == 0 and i.step == 1 and op.size(i.digit) == f.size
        for f, i in zip(factors, access.index, strict=True)
    )


def _reads_through(program: Program, ops: dict[str, FactorOp], op: FactorOp) -> bool:
    target = op.output.tensor
    return (
        len(_writers(ops, target)) == 1
        and _is_whole(program, op, op.output)
        and not any(o.kind in WHOLE and o.accesses[0].tensor == target for o in ops.values())
        and all(_picks_through(program, op, a) for o in _readers(ops, target) for a in o.accesses)
        and (target not in program.outputs or bool(_readers(ops, target)))
    )


def _picks_through(program: Program, copy: FactorOp, access: Access) -> bool:
    """Whether the positions that data picks from a copy lie side by side in its source, too."""
    if access.tensor != copy.output.tensor or not access.picks:
        return True
    k = next(k for k, i in enumerate(access.index) if i.picked)
    tensor = program.tensors[access.tensor]
    alone = any(own == (tensor.factors[k],) for own in tensor.dims)
    digit = copy.output.index[k].digit
    along = [i for i in copy.accesses[0].index if i.digit == digit]
    return alone and len(along) == 1 and along[0].step == 1


def _pieces_through(program: Program, ops: dict[str, FactorOp], target: str) -> dict[str, FactorOp]:
    """The copies into a tensor composed into what produces their sources, as far as possible.

    An output that nobody reads takes either all of them or none: copies that remain are stores
    from wherever their sources lie, which an output that is put together on chip cannot have.
    """
    found, whole = ops, True
    for op in _writers(ops, target):
        if op.kind == "copy" and _same_dtype(program, op) and _writes_through(program, found, op):
            found = _into_producers(found, op)
        else:
            whole = whole and op.kind not in ("copy", *WHOLE)
    together = target in program.outputs and not _readers(ops, target)
    return found if whole or not together else ops


def _writes_through(program: Program, ops: dict[str, FactorOp], op: FactorOp) -> bool:
    """The source is an intermediate of its own that fills the window completely."""
    source = op.accesses[0].tensor
    home = (*program.given, *program.outputs, *program.constants)
    writers = _writers(ops, source)
    readers = _readers(ops, source)
    return (
        source not in home
        and _is_whole(program, op, op.accesses[0])
        and set(op.accesses[0].digits) == {d.name for d in op.digits}
        and all(o.kind not in (*WHOLE, "copy") for o in writers)
        and not any(o.kind in WHOLE for o in readers)
        and not any(a.picks for o in readers for a in o.accesses if a.tensor == source)
        and bool(writers)
        and not _waits_for_itself(ops, op)
    )


def _waits_for_itself(ops: dict[str, FactorOp], copy: FactorOp) -> bool:
    """Whether another piece of the copy's target is made out of the copy's source.

    If source and target were one tensor, that piece would read the tensor that it writes.
    """
    source, target = copy.accesses[0].tensor, copy.output.tensor
    others = {o.name for o in _writers(ops, target) if o.name != copy.name}
    reached = {o.name for o in _readers(ops, source) if o.name != copy.name}
    pending = sorted(reached)
    while pending and not reached & others:
        for op in _readers(ops, ops[pending.pop()].output.tensor):
            if op.name not in reached:
                reached.add(op.name)
                pending.append(op.name)
    return bool(reached & others)


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
                digit=o.digit,
                offset=i.offset + i.step * o.offset,
                step=i.step * o.step,
                slide=o.slide and replace(o.slide, step=i.step * o.slide.step),
                picked=o.picked,
            )
        )
    return Access(tensor=target.tensor, index=tuple(index))


def _into_consumers(ops: dict[str, FactorOp], copy: FactorOp, *, kept: bool) -> dict[str, FactorOp]:
    def redirect(i: Access | Immediate) -> Access | Immediate:
        if isinstance(i, Access) and i.tensor == copy.output.tensor:
            return _follow(i, copy.output, copy.accesses[0])
        return i

    reading = {o.name for o in _readers(ops, copy.output.tensor)}
    return {
        n: replace(o, inputs=tuple(redirect(i) for i in o.inputs)) if n in reading else o
        for n, o in ops.items()
        if kept or n != copy.name
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
    """The ops that outputs depend on."""
    writers: dict[str, list[FactorOp]] = {}
    for op in ops.values():
        writers.setdefault(op.output.tensor, []).append(op)
    pending, needed = list(program.outputs), dict.fromkeys(program.outputs)
    alive: dict[str, FactorOp] = {}
    while pending:
        for op in writers.get(pending.pop(), ()):
            alive[op.name] = op
            new = [a.tensor for a in op.accesses if a.tensor not in needed]
            needed.update(dict.fromkeys(new))
            pending += new
    return {n: ops[n] for n in ops if n in alive}


def _ordered(ops: dict[str, FactorOp]) -> dict[str, FactorOp]:
    """Program order, except that all pieces of a tensor come before what reads it."""
    writers: dict[str, list[str]] = {}
    for op in ops.values():
        writers.setdefault(op.output.tensor, []).append(op.name)
    waits: networkx.DiGraph[str] = networkx.DiGraph()
    waits.add_nodes_from(ops)
    for op in ops.values():
        waits.add_edges_from((w, op.name) for a in op.accesses for w in writers.get(a.tensor, ()))
    place = {n: k for k, n in enumerate(ops)}
    order = networkx.lexicographical_topological_sort(waits, key=place.__getitem__)
    return {n: ops[n] for n in order}
