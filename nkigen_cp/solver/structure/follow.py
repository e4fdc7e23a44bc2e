"""Which ops run along an axis, and into how many loops in a row they fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.tensor.table import OPS, Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Ops that run along one axis, each by a digit of ``size`` positions."""

    digits: Mapping[str, str]
    size: int


def follow(program: Program, seeds: Sequence[tuple[str, str]], among: Sequence[str]) -> Axis:
    """The axis that passes through factors of tensors, followed through index maps of ``among``.

    An op that the axis reaches by two digits (scores, by query and by key) runs along the first.
    """
    size = max(program.tensors[tensor].factor(factor).size for tensor, factor in seeds)
    inside = dict.fromkeys(among)
    digits: dict[str, str] = {}
    todo = list(seeds)
    seen = dict.fromkeys(todo)
    while todo:
        name, at = todo.pop(0)
        touching = (*program.producers(name), *program.consumers(name))
        for op in dict.fromkeys(o.name for o in touching):
            if op not in inside or OPS[program.ops[op].kind].family is Family.SCATTER:
                continue
            found = _reached(program, program.ops[op], name, at)
            if found is None or program.ops[op].size(found) != size:
                continue
            if digits.setdefault(op, found) == found:
                more = _along(program, program.ops[op], found)
                todo += [m for m in more if m not in seen]
                seen |= dict.fromkeys(more)
    return Axis(digits={o: digits[o] for o in program.ops if o in digits}, size=size)


def _accesses(op: FactorOp) -> tuple[Access, ...]:
    return (op.output, *op.accesses)


def _reached(program: Program, op: FactorOp, tensor: str, factor: str) -> str | None:
    k = [f.name for f in program.tensors[tensor].factors].index(factor)
    for access in _accesses(op):
        if access.tensor == tensor and access.index:
            index = access.index[k]
            if index.digit is not None and index.step == 1:
                return index.digit
    return None


def _along(program: Program, op: FactorOp, digit: str) -> list[tuple[str, str]]:
    return [
        (a.tensor, f.name)
        for a in _accesses(op)
        if a.index
        for f, i in zip(program.tensors[a.tensor].factors, a.index, strict=True)
        if i.digit == digit and i.step == 1
    ]


def instances(program: Program, axis: Axis, among: Sequence[str]) -> list[list[str]]:
    """The axis's ops as loops that run one after the other.

    What a loop completes only at its end, or hands to an op outside of it or at other positions,
    can be used by the next loop at the earliest. Ops run as late as that saves whole tensors
    between loops.
    """
    inside = dict.fromkeys(among)
    edges = [
        (w.name, r.name, _leaves(axis, w, r, a))
        for r in (program.ops[n] for n in among)
        for a in r.accesses
        for w in program.producers(a.tensor)
        if w.name in inside
    ]
    level = dict.fromkeys(among, 0)
    for name in among:
        level[name] = max((level[w] + cost for w, r, cost in edges if r == name), default=0)
    _postpone(program, axis, among, edges, level)
    found: dict[int, list[str]] = {}
    for name in among:
        if name in axis.digits:
            found.setdefault(level[name], []).append(name)
    return [found[k] for k in sorted(found)]


def parts(program: Program, group: Sequence[str]) -> list[list[str]]:
    """The ops of a loop in parts of which none reads what another one writes."""
    inside = dict.fromkeys(group)
    part = {name: name for name in group}

    def first(name: str) -> str:
        while part[name] != name:
            name = part[name]
        return name

    for name in group:
        for access in program.ops[name].accesses:
            for writer in program.producers(access.tensor):
                if writer.name in inside:
                    part[first(name)] = first(writer.name)
    found: dict[str, list[str]] = {}
    for name in group:
        found.setdefault(first(name), []).append(name)
    return list(found.values())


def _leaves(axis: Axis, writer: FactorOp, reader: FactorOp, access: Access) -> int:
    """1 if the reader cannot be in the writer's loop, else 0."""
    mine, other = axis.digits.get(writer.name), axis.digits.get(reader.name)
    if mine is None:
        return 0
    if other is None or not access.index or writer.path != reader.path:
        return 1  # a new loop is inside of one nest
    alike = all(
        ((w.digit == mine) == (r.digit == other))
        and (w.digit != mine or (w.offset, w.step) == (r.offset, r.step))
        for w, r in zip(writer.output.index, access.index, strict=True)
    )
    return 0 if alike and mine in writer.output.digits else 1


def _postpone(
    program: Program,
    axis: Axis,
    among: Sequence[str],
    edges: Sequence[tuple[str, str, int]],
    level: dict[str, int],
) -> None:
    """Move ops to a later loop where less then crosses from one to the next."""
    for name in reversed(among):
        readers = [(r, cost) for w, r, cost in edges if w == name]
        if not readers or name not in axis.digits:
            continue
        latest = min(level[r] - cost for r, cost in readers)
        if latest <= level[name]:
            continue
        op = program.ops[name]
        saved = program.tensors[op.output.tensor].size_bytes
        made = dict.fromkeys(a.tensor for a in op.accesses if program.producers(a.tensor))
        added = sum(
            program.tensors[t].size_bytes
            for t in made
            if all(level[r.name] <= level[name] for r in program.consumers(t) if r.name in level)
        )
        if added < saved:
            level[name] = latest
