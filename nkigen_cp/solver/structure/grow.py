"""Structures worth solving: loops are added where a tensor does not fit, until everything does.

Each step takes the tensors that crowd SBUF most, tries their axes in blocks of several sizes as a
further innermost loop of the ops around them, and keeps the structures that look best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.structure.coarse import USED_SHARE
from nkigen_cp.solver.structure.loops import DEEPEST, dim_of, grown_at, single_buffers
from nkigen_cp.solver.structure.segments import segmented
from nkigen_cp.solver.structure.together import together
from nkigen_cp.solver.structure.tried import Proposal, Search, proposal
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.targets.target import Target

WIDTH = 6
"""Structures kept after every step, and more of them for programs of few ops."""

OPS_AT_ONCE = 400
"""Ops of all structures kept after a step, where that makes more of them."""

ALIKE = 3
"""One in so many of those may be the same loops in other blocks."""

SMALLEST_SHARE = 16
"""Structures are looked for down to one in so many parts of SBUF."""

TIGHTEST_BYTES = 1024
"""SBUF per partition below which no loops are looked for."""

MOST_LOOPS = 12
"""Steps after which a structure that still does not fit is given up."""

BLOCKS = (128, 512, 1024, 2048)
"""Positions per iteration of a long axis: the largest divisors up to these, in 128s."""

FINE_BLOCKS = (128, 256, 512)
"""The same for loops inside of structures that fit."""

PATIENCE = 3
"""Steps in a row without gain after which the search is pressed, if nothing fits."""

PIECE = 4096
"""Elements of a row that are worth an instruction and a DMA of their own."""

MOST_PROPOSALS = 24
"""Structures handed on."""

NEAR = 1.1
"""Times the best that fits, up to which others are still grown: it may turn out not to fit."""

POLISHED = 1
"""Structures that fit which get further loops where they are slow; more for few ops."""

FOCI = 4
"""Slow places of one of those that are tried before it is left as it is."""

CROWDING = 4
"""Constants that take one part in so many of SBUF leave too little beside them."""

WORTH = 0.995
"""Part of its time that a structure must be down to for one more loop."""


def proposals(graph: Graph, target: Target) -> list[Proposal]:
    """Structures under which everything seems to fit, the most promising first.

    The program without loops is among them if it fits. Empty if nothing was found. Only where
    nothing fits else, or at once where constants take much of SBUF, the search is ``pressed``: it
    goes on from where it got on last, then begins anew.
    """
    job = Search(graph, target)
    start = [p for p in (proposal(job, Structure()),) if p is not None]
    fitting, stuck = ([], []) if _crowding(graph, target) else _fitting(job, start)
    for beam in (stuck, start) if not fitting else ():
        pressed = job.looking_anew(pressed=True)
        again = [proposal(pressed, p.structure) for p in beam]
        fitting, _ = _fitting(pressed, [p for p in again if p is not None])
        if fitting:
            return _handed_on(pressed, fitting)
    return _handed_on(job, fitting)


def _crowding(graph: Graph, target: Target) -> bool:
    """Whether constants that are no broadcast numbers would fill a good part of SBUF."""
    held = [t for t in graph.constants if any(graph.constants[t].strides)]
    size = sum(graph.tensors[t].size_bytes for t in held) / target.partitions
    return size * CROWDING > target.sbuf_partition_bytes


def _fitting(job: Search, beam: list[Proposal]) -> tuple[list[Proposal], list[Proposal]]:
    """Structures that fit, grown from those of a beam; and the beam after the last step that paid.

    Without any that fit it ends where a few steps in a row paid nothing.
    """
    target = job.target
    fitting: list[Proposal] = []
    reached = beam
    since = 0
    for _ in range(MOST_LOOPS):
        fitting += [p for p in beam if not p.coarse.crowded]
        grown: list[Proposal] = []
        for p in beam:
            for structure in _grown(job, p) if p.coarse.crowded else ():
                found = proposal(job, structure)
                if found is not None and not found.coarse.hopeless and found not in grown:
                    grown.append(found)
        enough = min((p.coarse.total_ns for p in fitting), default=math.inf)
        beam = kept(job, [p for p in grown if p.rank(target) < NEAR * enough])
        since += 1
        if beam and beam[0].rank(target) < reached[0].rank(target) * WORTH:
            reached, since = beam, 0
        if not beam or (since == PATIENCE and not fitting):
            break
    return fitting + [p for p in beam if not p.coarse.crowded], reached


def _handed_on(job: Search, fitting: list[Proposal]) -> list[Proposal]:
    """The best of those that fit, some of them with further loops where they are slow."""
    graph = job.graph
    order = sorted(fitting, key=lambda p: p.coarse.total_ns)
    joined = together(job, order) if job.pressed else []
    if joined:
        return [*joined, *order[:MOST_PROPOSALS]]
    width = max(POLISHED, POLISHED * OPS_AT_ONCE // WIDTH // max(1, len(graph.ops)))
    better = [_polished(job, p) for p in order[:width]]
    better.sort(key=lambda p: p.coarse.total_ns)
    rest = sorted((*better[1:], *order[1:]), key=lambda p: p.coarse.total_ns)
    # The look is rough: beside the best structure a plain one is tried before others like it.
    best: list[Proposal] = []
    for p in (*better[:1], *order[:1], *rest):
        if p not in best and len(best) < MOST_PROPOSALS:
            best.append(p)
    variants = [_variants(job, _in_pieces(job, p)) for p in best]
    return [v[k] for k in range(2) for v in variants if k < len(v)]


def smaller(target: Target) -> Iterator[Target]:
    """Targets with ever less SBUF.

    Where a structure seems to fit and has no plan, one that fits less may have one. The sizes are
    the same for all targets, so that more SBUF finds what less has found.
    """
    most = target.sbuf_partition_bytes * USED_SHARE
    for k in range(int(2 * math.log2(most)), 0, -1):
        if 2 ** (k / 2) * SMALLEST_SHARE >= most:
            yield replace(target, sbuf_partition_bytes=int(2 ** (k / 2)))


def tighter(target: Target) -> Iterator[Target]:
    """Targets with still less SBUF, where loops are wanted for their own sake."""
    size = target.sbuf_partition_bytes // SMALLEST_SHARE
    while size >= TIGHTEST_BYTES:
        yield replace(target, sbuf_partition_bytes=size)
        size //= 2


def _polished(job: Search, p: Proposal) -> Proposal:
    """The structure with further loops, as long as what is slow about it gets better."""
    for _ in range(MOST_LOOPS):
        better = (_better(job, p, names) for names in p.coarse.slow[:FOCI])
        found = next((q for q in better if q is not None), None)
        if found is None:
            break
        p = found
    return _ahead(job, p)


def _ahead(job: Search, p: Proposal) -> Proposal:
    """The structure with a second buffer of what lives in outer loops, where that is better."""
    for k, loop in enumerate(p.structure.loops):
        if loop.copies == 1:
            loops = list(p.structure.loops)
            loops[k] = replace(loop, copies=2)
            found = proposal(job, replace(p.structure, loops=tuple(loops)))
            if found is not None and not found.coarse.crowded:
                p = min(p, found, key=lambda q: q.coarse.total_ns)
    return p


def _better(job: Search, p: Proposal, names: Sequence[str]) -> Proposal | None:
    """The best structure with one more loop around these tensors, if it is better."""
    grown = [proposal(job, s) for s in grown_at(job, p, names, FINE_BLOCKS)]
    fitting = [q for q in grown if q is not None and not q.coarse.crowded]
    best = min(fitting, key=lambda q: q.coarse.total_ns, default=p)
    return best if best.coarse.total_ns < p.coarse.total_ns * WORTH else None


def _variants(job: Search, p: Proposal) -> list[Proposal]:
    """The structure, and the same with segments."""
    structure = segmented(p.program, p.structure, DEEPEST)
    if structure == p.structure:
        return [p]
    program = job.program(structure)
    return [p] if program is None else [replace(p, structure=structure, program=program), p]


def _in_pieces(job: Search, p: Proposal) -> Proposal:
    """The same loops over tensors whose long rows can be moved and computed in pieces."""
    cuts = list(p.structure.cuts)
    around = dict.fromkeys(
        a.tensor for o in p.program.ops.values() if o.path for a in (o.output, *o.accesses)
    )
    for name in around:
        tensor = p.program.tensors[name]
        last = tensor.factors[-1:]
        if name in job.graph.tensors and last and last[0].size >= 2 * PIECE:
            dim, _ = dim_of(tensor, len(tensor.factors) - 1)
            cut = job.cut(name, dim, PIECE)
            if last[0].size % PIECE == 0 and cut not in cuts:
                cuts.append(cut)
    if len(cuts) == len(p.structure.cuts):
        return p
    structure = replace(p.structure, cuts=tuple(cuts))
    program = job.program(structure)
    return p if program is None else replace(p, structure=structure, program=program)


def kept(job: Search, grown: list[Proposal]) -> list[Proposal]:
    """The best few, not all of them the same loops in other blocks.

    When pressed, as many that come nearest to fitting: loops cost more than what is missing seems
    to, where that is little.
    """

    def rank(p: Proposal) -> float:
        return p.rank(job.target)

    def missing(p: Proposal) -> tuple[float, float]:
        return p.coarse.missing_bytes, rank(p)

    found = _various(sorted(grown, key=rank))
    nearest = _various(sorted(grown, key=missing)) if job.pressed else []
    return found + [p for p in nearest if p not in found]


def _various(grown: list[Proposal]) -> list[Proposal]:
    """The first few, not all of them the same loops in other blocks."""
    alike: dict[object, int] = {}
    found: list[Proposal] = []
    width = max([WIDTH, *(OPS_AT_ONCE // len(p.program.ops) for p in grown[:1])])
    for p in grown:
        key = tuple(tuple(k.digits.items()) for k in p.structure.loops)
        alike[key] = alike.get(key, 0) + 1
        if alike[key] * ALIKE <= width and len(found) < width:
            found.append(p)
    return found


def _grown(job: Search, p: Proposal) -> Iterator[Structure]:
    """The structure with one axis more looped, or with one loop's tiles in a single buffer."""
    yield from single_buffers(p, p.coarse.crowded[0])
    yield from grown_at(job, p, p.coarse.crowded[:2], BLOCKS)
