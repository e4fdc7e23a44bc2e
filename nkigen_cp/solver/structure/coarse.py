"""A quick look at a structure: HBM traffic and SBUF need, before any layout is chosen.

Every tensor takes the cheapest of a few residencies; while SBUF overflows somewhere, the one that
frees most for the least traffic is changed to its next. What then still overflows names the tensors
that further loops have to break up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.homes import homes_of, spans_of
from nkigen_cp.solver.plan import Store
from nkigen_cp.solver.structure.residency import Options, TensorUses
from nkigen_cp.solver.structure.settle import Settled, settle
from nkigen_cp.solver.structure.waiting import (
    alone_in,
    engine_ns,
    filling_ns,
    slow_groups,
    unlooped_in,
)
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """Outcome: nanoseconds of HBM traffic and of the busiest engine; tensors still too large.

    ``waiting_ns`` is that of loads into single buffers for loops, which little can hide, and of
    engines that wait for each other where SBUF holds few iterations of a loop at once.
    ``iterations`` counts those of all nests, and ``in_flight`` those of one of them that SBUF holds
    at once, where these are fewest; 1 if there are no loops.
    ``crowded`` lists the largest tensors alive where most is missing; empty if everything fits.
    ``hopeless`` says that an accumulator is too large, which no further inner loop makes smaller.
    ``slow`` lists groups of tensors that are worth breaking up although they fit, the costliest
    first: one that crosses HBM again for want of room with those in its way, the largest tiles of a
    nest of which SBUF holds too few iterations, or the largest of a stretch between nests.
    """

    dma_ns: float
    engine_ns: float
    waiting_ns: float
    iterations: int
    in_flight: float
    crowded: tuple[str, ...]
    missing_bytes: int
    hopeless: bool
    slow: tuple[tuple[str, ...], ...] = ()

    @property
    def total_ns(self) -> float:
        """For comparing structures only: overlap of the two, and waiting.

        HBM traffic counts besides, as it takes bandwidth from the other cores.
        """
        long, short = max(self.dma_ns, self.engine_ns), min(self.dma_ns, self.engine_ns)
        busy = long + short / 4 + self.dma_ns
        return busy + self.waiting_ns


USED_SHARE = 0.9
"""Part of SBUF that may be full: layouts waste some, and conversions need some."""


def look(
    program: Program, stores: Sequence[Store], target: Target, generated: Collection[str] = ()
) -> Coarse:
    """Estimate a bound program; the chip makes the constants ``generated`` itself."""
    names = list(program.ops)
    spans = spans_of([program.ops[n].path for n in names])
    homes = homes_of(program, stores)
    positions = {n: k for k, n in enumerate(names)}
    options = {
        t: Options(TensorUses(program, t, homes[t], positions, spans, target, t in generated))
        for t in program.tensors
        if (program.producers(t) or program.consumers(t)) and not _in_passing(program, t)
    }
    room = int(target.sbuf_partition_bytes * USED_SHARE)
    found = settle({t: o for t, o in options.items() if o.first is not None}, len(names), room)
    alone = alone_in(program, found, room, target)
    unlooped = unlooped_in(program, target)
    moved = sum(r.moved_bytes for r in found.taken.values())
    moved += sum(program.tensors[t].size_bytes for t in program.outputs)
    return Coarse(
        dma_ns=moved / target.hbm_bytes_per_ns,
        engine_ns=engine_ns(program, target),
        waiting_ns=sum(r.waiting_bytes for r in found.taken.values()) / target.hbm_bytes_per_ns / 4
        + sum(ns for ns, _ in alone.wasted)
        + filling_ns(program, target)
        + _first_loads(program, found) / target.hbm_bytes_per_ns
        + sum(ns for ns, _ in unlooped),
        iterations=sum(
            program.trips(p) for p in dict.fromkeys(o.path for o in program.ops.values()) if p
        ),
        crowded=tuple(found.largest) if found.over > 0 else (),
        missing_bytes=max(0, found.over),
        hopeless=any(
            s.size_bytes > room for t in program.carried.values() for s in found.taken[t].stays
        ),
        in_flight=alone.in_flight,
        # A program without any loops overlaps as it is: its ops have whole tensors to work on.
        slow=slow_groups(found, (*alone.wasted, *(unlooped if program.loops else ())), target),
    )


def _first_loads(program: Program, found: Settled) -> int:
    """Bytes loaded as a whole for nests that need nothing else: no work overlaps them."""
    made = {
        o.path[0]: None
        for o in program.ops.values()
        for a in o.accesses
        if o.path and any(w.path[:1] != o.path[:1] for w in program.producers(a.tensor))
    }
    return sum(
        program.tensors[t].size_bytes
        for t, residency in found.taken.items()
        if not program.producers(t)
        and all(not s.home for s in residency.stays)
        and any(o.path and o.path[0] not in made for o in program.consumers(t))
    )


def _in_passing(program: Program, tensor: str) -> bool:
    """Whether the tensor takes no SBUF: an accumulator's second name, a part on its way into it."""
    if tensor in program.carried:
        return True
    readers = program.consumers(tensor)
    combining = [o for o in readers if any(a.tensor in program.carried for a in o.accesses)]
    return len(readers) == 1 and bool(combining)
