"""One more loop: where a structure can be cut and looped around a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.accumulate import split_from
from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import FactorOp, FactorTensor, Loop, Program
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.structure.follow import Axis, follow, instances, parts
from nkigen_cp.solver.structure.tried import Proposal, Search
from nkigen_cp.solver.structure.values import Structure

DEEPEST = 4
"""Loops around an op."""

WHOLE_UP_TO = 64
"""An axis of at most this many positions (heads, groups) is looped one position at a time."""

Seed = tuple[FactorTensor, str]
"""A tensor and its factor to loop over."""


def grown_at(
    job: Search, p: Proposal, names: Sequence[str], blocks: Sequence[int]
) -> Iterator[Structure]:
    """The structure with one axis more looped of one of these tensors."""
    for name in names:
        tensor = p.program.tensors[name]
        looped = _looped(p.program, name)
        done = [_axis_of(job, tensor, k) for k, f in enumerate(tensor.factors) if f.name in looped]
        for k, factor in enumerate(tensor.factors):
            if factor.name in looped or _axis_of(job, tensor, k) in done:
                continue  # a smaller block of a loop that is there does the same
            if _is_block(job, tensor, k):
                continue
            seeds = [(t, t.factors[k].name) for t in (tensor, *_alike(p.program, tensor, k))]
            for inner in blocks_of(factor.size, blocks):
                cuts = [c for t, f in seeds for c in _cuts(job, t, f, inner)]
                yield from _with_loop(job, p.structure, cuts, seeds, inner)


def _is_block(job: Search, tensor: FactorTensor, place: int) -> bool:
    """Whether a factor is a block that an axis was cut into and that fits the partitions."""
    size = tensor.factors[place].size
    dim, _ = dim_of(tensor, place)
    return WHOLE_UP_TO < size <= job.target.partitions and size < tensor.shape[dim]


def _alike(program: Program, tensor: FactorTensor, place: int) -> list[FactorTensor]:
    """Tensors that the same op makes elsewhere, with as many positions of a factor.

    Windows of a causal attention are such: where one is too large, so are the others.
    """

    def made(t: FactorTensor) -> list[object]:
        return [
            (o.kind, [program.loops[k].trips for k in o.path]) for o in program.producers(t.name)
        ]

    def like(t: FactorTensor) -> bool:
        sizes = [f.size for f in t.factors]
        same = len(sizes) == len(tensor.factors) and sizes[place] == tensor.factors[place].size
        return same and t.dtype == tensor.dtype and made(t) == made(tensor)

    if not program.producers(tensor.name):
        return []
    found = dict.fromkeys(o.output.tensor for o in program.ops.values())
    return [t for n in found if n != tensor.name and like(t := program.tensors[n])]


def single_buffers(p: Proposal, tensor: str) -> Iterator[Structure]:
    """Without double-buffering in the innermost loops around a tensor."""
    ops = (*p.program.producers(tensor), *p.program.consumers(tensor))
    around = dict.fromkeys(o.path[-1] for o in ops if o.path)
    for name in around:
        loops = tuple(
            replace(k, copies=1) if k.name == name and k.copies > 1 else k
            for k in p.structure.loops
        )
        if loops != p.structure.loops:
            yield replace(p.structure, loops=loops)


def _looped(program: Program, tensor: str) -> tuple[str, ...]:
    """Factors that some op around the tensor already takes one position of."""
    names = [f.name for f in program.tensors[tensor].factors]
    ops = (*program.producers(tensor), *program.consumers(tensor))
    accesses = [a for o in ops for a in (o.output, *o.accesses) if a.tensor == tensor and a.index]
    return tuple(
        n for k, n in enumerate(names) if any(a.index[k].loop is not None for a in accesses)
    )


def blocks_of(size: int, wanted: Sequence[int]) -> list[int]:
    """Positions per iteration to try for an axis, none if it has no useful divisor."""
    if size <= WHOLE_UP_TO:
        return [1]
    even = [b for b in range(wanted[0], size, wanted[0]) if size % b == 0]
    found = dict.fromkeys(max((b for b in even if b <= most), default=0) for most in wanted)
    if any(found):
        return [b for b in found if b]
    divisors = [d for d in range(2, size) if size % d == 0 and d <= 1024]
    fit = [d for d in divisors if d <= 128]
    return sorted({*fit[-1:], *divisors[-1:]})


def _cuts(job: Search, tensor: FactorTensor, factor: str, inner: int) -> list[Cut]:
    """Cuts of the dim that the factor is part of, at the block and at one set of partitions."""
    if inner == 1:
        return []
    place = [f.name for f in tensor.factors].index(factor)
    dim, below = dim_of(tensor, place)
    found = [inner]
    partitions = job.target.partitions
    if inner > partitions and inner % partitions == 0:
        found.append(partitions)
    return [job.cut(tensor.name, dim, below * b) for b in found]


def _axis_of(job: Search, tensor: FactorTensor, place: int) -> tuple[int, int]:
    """The factor of the uncut program that a factor is a part of: its dim, and where in that."""
    dim, below = dim_of(tensor, place)
    whole = job.factored[()].tensors.get(tensor.name, tensor)
    for k, factor in enumerate(whole.factors):
        at, under = dim_of(whole, k)
        if at == dim and under <= below < under * factor.size:
            return dim, under
    return dim, below


def dim_of(tensor: FactorTensor, place: int) -> tuple[int, int]:
    """The dim a factor belongs to, and the positions of that dim below one step of it."""
    at = 0
    for dim, size in enumerate(tensor.shape):
        count = 1
        members: list[int] = []
        while count < size:
            members.append(at)
            count *= tensor.factors[at].size
            at += 1
        if place in members:
            return dim, math.prod(tensor.factors[k].size for k in members if k > place)
    raise AssertionError("a factor belongs to a dim")


def _with_loop(
    job: Search, structure: Structure, cuts: list[Cut], seeds: list[Seed], inner: int
) -> Iterator[Structure]:
    """Loops over the outer part of the seeds' factors, inside of those that their ops share.

    Reductions over the axis are part of the loop, adding up part by part, or follow it; and the
    loops are around all ops that run along the axis, or only around those next to the seeds. Ops
    that have nothing to do with each other share a loop, or have one each inside of other loops.
    """
    cut = tuple(dict.fromkeys((*structure.cuts, *cuts)))
    bound = job.program(Structure(cuts=cut, loops=structure.loops))
    if bound is None:
        return
    named = [(t.name, n) for t, f in seeds if (n := _outer_name(bound, t.name, f, inner))]
    if not named:
        return
    around = [o for t, _ in named for o in (*bound.producers(t), *bound.consumers(t))]
    near = dict.fromkeys(o.name for o in around)
    scope = common_path(*(o.path for o in around))
    among = [n for n, o in bound.ops.items() if o.path[: len(scope)] == scope]
    axis = follow(bound, named, among)
    along = {o: d for o, d in axis.digits.items() if o in near or _outermost(bound.ops[o], d)}
    axis = replace(axis, digits=along)
    reducing = [o for o, d in axis.digits.items() if d not in bound.ops[o].output.digits]
    tried: list[tuple[Loop, ...]] = [structure.loops]
    for left in ([], reducing) if reducing else ([],):
        digits = {o: d for o, d in axis.digits.items() if o not in left}
        groups = instances(bound, replace(axis, digits=digits), among)
        chosen_groups = [groups, [g for g in groups if any(o in near for o in g)]]
        if scope and job.pressed:
            # What the parts read in common is there already, in the loops around.
            chosen_groups.append([part for g in groups for part in parts(bound, g)])
        for chosen in chosen_groups:
            loops = _added(bound, axis, chosen, structure.loops)
            if loops not in tried:
                tried.append(loops)
                yield Structure(cuts=cut, loops=loops)
    # Between others a loop makes what lives in the outer ones no smaller: only where nothing fits.
    between = min(len(scope), max(len(o.path) for o in around) - 1) + 1
    for depth in range(between if job.pressed else min(1, len(scope))):
        yield from _around(job, Structure(cuts=cut, loops=structure.loops), named, scope[:depth])


def _around(
    job: Search, structure: Structure, named: Sequence[tuple[str, str]], scope: Path
) -> Iterator[Structure]:
    """Loops over the same factors inside of the loops ``scope``, around those that are there.

    Of those only what runs along the axis as a whole can be inside: else there is no such program.
    """
    outer = tuple(k for k in structure.loops if k.name in scope)
    inner = tuple(k for k in structure.loops if k.name not in scope)
    bare = job.program(Structure(cuts=structure.cuts, loops=outer))
    if bare is None:
        return
    factors = {t: [f.name for f in x.factors] for t, x in bare.tensors.items()}
    seeds = [(t, f) for t, f in named if f in factors.get(t, ())]
    if not seeds:
        return
    among = [n for n, o in bare.ops.items() if o.path[: len(scope)] == scope]
    axis = follow(bare, seeds, among)
    counted = {(o, d) for k in structure.loops for o, d in k.digits.items()}
    along = {
        o: d for o, d in axis.digits.items() if _outermost(bare.ops[o], d) and (o, d) not in counted
    }
    if scope:
        along = _in_whole_loops(along, inner)
    groups = instances(bare, replace(axis, digits=along), among)
    inside = {o for k in inner for o in k.digits}
    loops = [
        Loop(
            name=f"L{len(structure.loops) + k}",
            trips=axis.size,
            digits={o: axis.digits[o] for o in group},
            copies=1 if any(o in inside for o in group) else 2,
        )
        for k, group in enumerate(groups)
    ]
    depth = 1 + max(sum(o in k.digits for k in structure.loops) for o in inside)
    if loops and depth <= DEEPEST:
        yield Structure(cuts=structure.cuts, loops=(*outer, *loops, *inner))


def _in_whole_loops(along: Mapping[str, str], loops: Sequence[Loop]) -> dict[str, str]:
    """The ops along an axis without those in loops with other ops: one loop is in one place."""
    found = dict(along)
    while True:
        mixed = [k for k in loops if any(o in found for o in k.digits)]
        mixed = [k for k in mixed if not all(o in found for o in k.digits)]
        if not mixed:
            return found
        found = {o: d for o, d in found.items() if not any(o in k.digits for k in mixed)}


def _outermost(op: FactorOp, digit: str) -> bool:
    """Whether one position of the digit is one run of the op's axis, not a stride over it."""
    axis, _, place = digit.rpartition(".")
    outer = f"{axis}.{int(place) - 1}" if axis and place.isdigit() and place != "0" else ""
    return all(d.name != outer for d in op.digits)


def _added(
    bound: Program, axis: Axis, groups: list[list[str]], known: tuple[Loop, ...]
) -> tuple[Loop, ...]:
    """The known loops and innermost new ones along an axis; only the known if it is too deep."""
    loops = list(known)
    for group in groups:
        for path in dict.fromkeys(bound.ops[o].path for o in group):
            if len(path) == DEEPEST:
                return known
            members = {
                name: axis.digits[o]
                for o in group
                if bound.ops[o].path == path and (name := split_from(bound, o)) is not None
            }
            if not members:
                continue
            # What lives in a loop around others lives long: a second buffer of it gains little.
            loops = [replace(k, copies=1) if k.name in path else k for k in loops]
            label = f"L{len(loops)}"
            loops.append(Loop(name=label, trips=axis.size, digits=members))
    return tuple(loops)


def _outer_name(program: Program, tensor: str, factor: str, inner: int) -> str | None:
    """The factor's outer part after the cut: its own name, or that with the first index."""
    names = [f.name for f in program.tensors[tensor].factors]
    if factor in names:
        return factor
    return f"{factor}.0" if inner > 1 and f"{factor}.0" in names else None
