"""Loop nests: ops that run one iteration at a time, in an order that keeps every loop together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.accumulate import accumulated
from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp, Loop, Program


def bind(program: Program, loops: Sequence[Loop]) -> Program:
    """The program with its ops inside ``loops``, an outer loop being listed before its inner ones.

    A looped digit disappears from the op: one iteration stays at one position of it, and every
    access names the loop instead.

    Raises:
        PlanError: a loop counts other positions than its ops have, or cuts rows that belong
            together; or it would have to run before and after some other op; or an op would read
            positions that its own loop has not written yet.
    """
    if not loops:
        return program
    by_op: dict[str, dict[str, str]] = {}
    for loop in loops:
        for op, digit in loop.digits.items():
            sizes = {d.name: d.size for d in program.ops[op].digits} if op in program.ops else {}
            if sizes.get(digit) != loop.trips:
                raise PlanError(
                    f"loop {loop.name!r} has {loop.trips} trips; op {op!r} has "
                    f"{sizes.get(digit, 'no')} positions of {digit!r}"
                )
            if digit in program.ops[op].whole:
                raise PlanError(
                    f"loop {loop.name!r} would cut the rows of op {op!r} along {digit!r}"
                )
            by_op.setdefault(op, {})[digit] = loop.name
    bound = {n: _bound(op, by_op.get(n, {})) for n, op in program.ops.items()}
    found = replace(program, ops=bound, loops={k.name: k for k in loops})
    _check_nesting(found)
    _check_edges(found)
    order = _grouped(found, list(bound), 0)
    found = accumulated(replace(found, ops={n: bound[n] for n in order}))
    return replace(found, ops={n: found.ops[n] for n in _grouped(found, list(found.ops), 0)})


def common_path(*paths: Sequence[str]) -> tuple[str, ...]:
    """The loops that all of the paths start with."""
    found: list[str] = []
    for names in zip(*paths, strict=False):
        if any(n != names[0] for n in names):
            break
        found.append(names[0])
    return tuple(found)


def _bound(op: FactorOp, loop_of: Mapping[str, str]) -> FactorOp:
    """``loop_of`` maps digits to loops, outermost loop first."""
    if not loop_of:
        return op

    def access(a: Access) -> Access:
        if any(i.slide and (i.slide.digit in loop_of or i.digit in loop_of) for i in a.index):
            raise PlanError(f"op {op.name!r}{op.where()} reads windows that overlap in a loop")
        if not any(i.digit in loop_of for i in a.index):
            return a
        return Access(tensor=a.tensor, index=tuple(index(i) for i in a.index))

    def index(i: FactorIndex) -> FactorIndex:
        loop = loop_of.get(i.digit) if i.digit is not None else None
        if loop is None:
            return i
        return FactorIndex(digit=None, offset=i.offset, step=i.step, loop=loop)

    return replace(
        op,
        digits=tuple(d for d in op.digits if d.name not in loop_of),
        inputs=tuple(access(i) if isinstance(i, Access) else i for i in op.inputs),
        output=access(op.output),
        path=tuple(loop_of.values()),
    )


def _check_nesting(program: Program) -> None:
    """A loop is inside of the same loops wherever it is."""
    around: dict[str, tuple[str, ...]] = {}
    for op in program.ops.values():
        for k, name in enumerate(op.path):
            if around.setdefault(name, op.path[:k]) != op.path[:k]:
                raise PlanError(
                    f"loop {name!r} would run inside {around[name]} and inside {op.path[:k]}"
                )


def _check_edges(program: Program) -> None:
    """In a shared loop, reader and writer must be at the same positions."""
    for reader in program.ops.values():
        for access in reader.accesses:
            for writer in program.producers(access.tensor):
                shared = common_path(writer.path, reader.path)
                # Views without factors address a tensor as a whole, and run in no loop.
                pairs = zip(writer.output.index, access.index, strict=bool(shared))
                alike = all(
                    w.loop == r.loop and (w.offset, w.step) == (r.offset, r.step)
                    for w, r in pairs
                    if w.loop in shared or r.loop in shared
                )
                complete = set(shared) <= set(writer.result_path)
                if not (alike and complete):
                    raise PlanError(
                        f"op {reader.name!r}{reader.where()} shares loops {shared} with "
                        f"{writer.name!r}, but reads other positions of {access.tensor!r} than "
                        f"one iteration writes"
                    )


def _grouped(program: Program, names: Sequence[str], depth: int) -> list[str]:
    """A topological order, nearest to the given one, in which each loop's ops are neighbours."""
    group: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for name in names:
        path = program.ops[name].path
        group[name] = f"loop {path[depth]}" if len(path) > depth else f"op {name}"
        members.setdefault(group[name], []).append(name)
    if len(members) == 1 and depth < len(program.ops[names[0]].path):
        return _grouped(program, names, depth + 1)
    follows: dict[str, dict[str, None]] = {g: {} for g in members}
    for name in names:
        for access in program.ops[name].accesses:
            for writer in program.producers(access.tensor):
                before = group.get(writer.name, group[name])
                if before != group[name]:
                    follows[before][group[name]] = None
    order: list[str] = []
    for g in _sorted(follows):
        inner = members[g]
        order += _grouped(program, inner, depth + 1) if g.startswith("loop ") else inner
    return order


def _sorted(follows: Mapping[str, Mapping[str, None]]) -> list[str]:
    """A topological order, the first possible node of the given order each time."""
    names = list(follows)
    rank = {g: k for k, g in enumerate(names)}
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(names, ()))
    for before, later in follows.items():
        for g in later:
            sorter.add(g, before)
    try:
        sorter.prepare()
    except CycleError:
        raise PlanError(
            "the loops cannot be put into an order: ops of two of them alternate"
        ) from None
    ready: list[int] = []
    order: list[str] = []
    while sorter.is_active():
        for g in sorter.get_ready():
            heappush(ready, rank[g])
        order.append(names[heappop(ready)])
        sorter.done(order[-1])
    return order
