"""Structures worth solving: loops are added where a tensor does not fit, until everything does.

Each step takes the tensors that crowd SBUF most, tries their axes in blocks of several sizes as a
further innermost loop of the ops around them, and keeps the structures that look best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.cuts import Cut, axes_of
from nkigen_cp.ir.factor.nest import bind, common_path
from nkigen_cp.ir.factor.program import FactorTensor, Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.stores import split_stores
from nkigen_cp.solver.structure.coarse import Coarse, look
from nkigen_cp.solver.structure.follow import Axis, follow, instances
from nkigen_cp.solver.structure.segments import segmented
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.targets.target import Target

WIDTH = 6
"""Structures kept after every step, and more of them for programs of few ops."""

OPS_AT_ONCE = 400
"""Ops of all structures kept after a step, where that makes more of them."""

ALIKE = 3
"""One in so many of those may be the same loops in other blocks."""

MOST_LOOPS = 8
"""Steps after which a structure that still does not fit is given up."""

DEEPEST = 3
"""Loops around an op."""

BLOCKS = (128, 512, 1024, 2048)
"""Positions per iteration of a long axis: the largest divisors up to these, in 128s."""

PIECE = 4096
"""Elements of a row that are worth an instruction and a DMA of their own."""

MOST_PROPOSALS = 24
"""Structures handed on."""

WHOLE_UP_TO = 64
"""An axis of at most this many positions (heads, groups) is looped one position at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A structure, its program, and how it looks."""

    structure: Structure
    program: Program
    coarse: Coarse

    def rank(self, target: Target) -> float:
        """What it would cost if what is missing could be moved out once and back."""
        missing = 2 * self.coarse.missing_bytes * target.partitions
        return self.coarse.total_ns + missing / target.hbm_bytes_per_ns


Dim = tuple[str, int]
"""A tensor's dim."""


@dataclass(slots=True)
class _Search:
    """``factored`` programs per cuts, and the shapes of programs that were looked at already."""

    graph: Graph
    target: Target
    factored: dict[tuple[Cut, ...], Program] = field(default_factory=dict[tuple[Cut, ...], Program])
    seen: dict[object, None] = field(default_factory=dict[object, None])
    dims: dict[Dim, Dim] = field(default_factory=dict[Dim, Dim])

    def program(self, structure: Structure) -> Program:
        """The program of a structure; raises PlanError where it has none."""
        cuts = tuple(sorted(structure.cuts, key=lambda c: (c.tensor, c.dim, c.inner)))
        if cuts not in self.factored:
            self.factored[cuts] = refine(self.graph, cuts)
        if _opaque(self.factored[cuts]) > _opaque(self.factored.get((), self.factored[cuts])):
            raise PlanError("the cuts turn a view into a copy through HBM")
        return bind(self.factored[cuts], structure.loops)

    def cut(self, tensor: str, dim: int, inner: int) -> Cut:
        """The cut, named after the first tensor with the same axis: equal cuts are then one."""
        if not self.dims:
            self.dims.update(axes_of(self.graph))
        name, at = self.dims.get((tensor, dim), (tensor, dim))
        return Cut(tensor=name, dim=at, inner=inner)

    def new(self, program: Program) -> bool:
        """Whether no structure before came to the same loops over the same digits."""
        loops = tuple(
            (k.trips, k.copies, tuple(sorted(k.digits.items()))) for k in program.loops.values()
        )
        digits = tuple(o.digits for o in program.ops.values())
        key = (loops, digits)
        fresh = key not in self.seen
        self.seen[key] = None
        return fresh


def proposals(graph: Graph, target: Target) -> list[Proposal]:
    """Structures under which everything seems to fit, the most promising first.

    The program without loops is among them if it fits. Empty if nothing was found.
    """
    job = _Search(graph, target)
    beam = [p for p in (_proposal(job, Structure()),) if p is not None]
    fitting: list[Proposal] = []
    for _ in range(MOST_LOOPS):
        fitting += [p for p in beam if not p.coarse.crowded]
        grown: list[Proposal] = []
        for p in beam:
            for structure in _grown(job, p) if p.coarse.crowded else ():
                found = _proposal(job, structure)
                if found is not None:
                    grown.append(found)
        beam = _best(grown, target)
    fitting += [p for p in beam if not p.coarse.crowded]
    best = sorted(fitting, key=lambda p: p.coarse.total_ns)[:MOST_PROPOSALS]
    return [q for p in best for q in _variants(job, _in_pieces(job, p))]


def _variants(job: _Search, p: Proposal) -> list[Proposal]:
    """The structure, and the same with segments."""
    structure = segmented(p.program, p.structure, DEEPEST)
    if structure == p.structure:
        return [p]
    try:
        return [replace(p, structure=structure, program=job.program(structure)), p]
    except PlanError:
        return [p]


def _in_pieces(job: _Search, p: Proposal) -> Proposal:
    """The same loops over tensors whose long rows can be moved and computed in pieces."""
    cuts = list(p.structure.cuts)
    around = dict.fromkeys(
        a.tensor for o in p.program.ops.values() if o.path for a in (o.output, *o.accesses)
    )
    for name in around:
        tensor = p.program.tensors[name]
        last = tensor.factors[-1:]
        if name in job.graph.tensors and last and last[0].size >= 2 * PIECE:
            dim, _ = _dim_of(tensor, len(tensor.factors) - 1)
            cut = job.cut(name, dim, PIECE)
            if last[0].size % PIECE == 0 and cut not in cuts:
                cuts.append(cut)
    if len(cuts) == len(p.structure.cuts):
        return p
    structure = replace(p.structure, cuts=tuple(cuts))
    try:
        return replace(p, structure=structure, program=job.program(structure))
    except PlanError:
        return p


def _opaque(program: Program) -> int:
    return sum(op.kind == "reshape" for op in program.ops.values())


def _best(grown: list[Proposal], target: Target) -> list[Proposal]:
    """The best few, not all of them the same loops in other blocks."""
    alike: dict[object, int] = {}
    found: list[Proposal] = []
    width = max([WIDTH, *(OPS_AT_ONCE // len(p.program.ops) for p in grown[:1])])
    for p in sorted(grown, key=lambda p: p.rank(target)):
        key = tuple(tuple(k.digits.items()) for k in p.structure.loops)
        alike[key] = alike.get(key, 0) + 1
        if alike[key] * ALIKE <= width and len(found) < width:
            found.append(p)
    return found


def _proposal(job: _Search, structure: Structure) -> Proposal | None:
    try:
        program = job.program(structure)
    except PlanError:
        return None
    if not job.new(program):
        return None
    coarse = look(*split_stores(program), job.target)
    return Proposal(structure=structure, program=program, coarse=coarse)


def _grown(job: _Search, p: Proposal) -> Iterator[Structure]:
    """The structure with one axis more looped, or with one loop's tiles in a single buffer."""
    yield from _single(p, p.coarse.crowded[0])
    for name in p.coarse.crowded[:2]:
        tensor = p.program.tensors[name]
        looped = _looped(p.program, name)
        done = [_axis_of(job, tensor, k) for k, f in enumerate(tensor.factors) if f.name in looped]
        for k, factor in enumerate(tensor.factors):
            if factor.name in looped or _axis_of(job, tensor, k) in done:
                continue  # a smaller block of a loop that is there does the same
            for inner in _blocks(factor.size):
                cuts = _cuts(job, tensor, factor.name, inner)
                yield from _with_loop(job, p.structure, cuts, name, factor.name, inner)


def _single(p: Proposal, tensor: str) -> Iterator[Structure]:
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


def _blocks(size: int) -> list[int]:
    """Positions per iteration to try for an axis, none if it has no useful divisor."""
    if size <= WHOLE_UP_TO:
        return [1]
    even = [b for b in range(BLOCKS[0], size, BLOCKS[0]) if size % b == 0]
    found = dict.fromkeys(max((b for b in even if b <= most), default=0) for most in BLOCKS)
    if any(found):
        return [b for b in found if b]
    divisors = [d for d in range(2, size) if size % d == 0 and d <= 1024]
    fit = [d for d in divisors if d <= 128]
    return sorted({*fit[-1:], *divisors[-1:]})


def _cuts(job: _Search, tensor: FactorTensor, factor: str, inner: int) -> list[Cut]:
    """Cuts of the dim that the factor is part of, at the block and at one set of partitions."""
    if inner == 1:
        return []
    place = [f.name for f in tensor.factors].index(factor)
    dim, below = _dim_of(tensor, place)
    found = [inner]
    partitions = job.target.partitions
    if inner > partitions and inner % partitions == 0:
        found.append(partitions)
    return [job.cut(tensor.name, dim, below * b) for b in found]


def _axis_of(job: _Search, tensor: FactorTensor, place: int) -> tuple[int, int]:
    """The factor of the uncut program that a factor is a part of: its dim, and where in that."""
    dim, below = _dim_of(tensor, place)
    whole = job.factored[()].tensors.get(tensor.name, tensor)
    for k, factor in enumerate(whole.factors):
        at, under = _dim_of(whole, k)
        if at == dim and under <= below < under * factor.size:
            return dim, under
    return dim, below


def _dim_of(tensor: FactorTensor, place: int) -> tuple[int, int]:
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
    job: _Search, structure: Structure, cuts: list[Cut], tensor: str, factor: str, inner: int
) -> Iterator[Structure]:
    """Loops over the outer part of a factor, inside of those that its ops share.

    Reductions over the axis are part of the loop, adding up part by part, or follow it.
    """
    cut = (*structure.cuts, *(c for c in cuts if c not in structure.cuts))
    try:
        bound = job.program(Structure(cuts=cut, loops=structure.loops))
    except PlanError:
        return
    name = _outer_name(bound, tensor, factor, inner)
    if name is None:
        return
    around = [o.path for o in (*bound.producers(tensor), *bound.consumers(tensor))]
    scope = common_path(*around)
    among = [n for n, o in bound.ops.items() if o.path[: len(scope)] == scope]
    axis = follow(bound, tensor, name, among)
    reducing = [o for o, d in axis.digits.items() if d not in bound.ops[o].output.digits]
    for left in ([], reducing) if reducing else ([],):
        digits = {o: d for o, d in axis.digits.items() if o not in left}
        loops = _added(bound, replace(axis, digits=digits), among, structure.loops)
        if len(loops) > len(structure.loops):
            yield Structure(cuts=cut, loops=loops)


def _added(
    bound: Program, axis: Axis, among: list[str], known: tuple[Loop, ...]
) -> tuple[Loop, ...]:
    """The known loops and innermost new ones along an axis; only the known if it is too deep."""
    loops = list(known)
    for group in instances(bound, axis, among):
        for path in dict.fromkeys(bound.ops[o].path for o in group):
            if len(path) == DEEPEST:
                return known
            # What lives in a loop around others lives long: a second buffer of it gains little.
            loops = [replace(k, copies=1) if k.name in path else k for k in loops]
            members = {o: axis.digits[o] for o in group if bound.ops[o].path == path}
            label = f"L{len(loops)}"
            loops.append(Loop(name=label, trips=axis.size, digits=members))
    return tuple(loops)


def _outer_name(program: Program, tensor: str, factor: str, inner: int) -> str | None:
    """The factor's outer part after the cut: its own name, or that with the first index."""
    names = [f.name for f in program.tensors[tensor].factors]
    if factor in names:
        return factor
    return f"{factor}.0" if inner > 1 and f"{factor}.0" in names else None
