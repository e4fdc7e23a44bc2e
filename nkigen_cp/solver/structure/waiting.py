"""Work that nothing overlaps, and what about a structure is slow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.structure.residency import Stay
from nkigen_cp.solver.structure.settle import Settled
from nkigen_cp.targets.target import Target

ITERATION_NS = 500.0
"""Of filling and draining the engines once per iteration, shared by those that overlap; a guess
that only ranks structures."""

IN_FLIGHT = 4
"""Iterations at once with which no engine waits for another."""

OPS_AT_ONCE = 4
"""Elementwise ops that run at the same time: two to an instruction, two engines."""

WAY = 2
"""Tensors in the way of one that are worth breaking up for it."""

Waste = tuple[float, tuple[str, ...]]
"""Nanoseconds, and the tensors that cause them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """Work of nests that no other iteration overlaps, for want of room, and their largest tiles.

    ``in_flight`` are the iterations of a nest that SBUF holds at once, one if there is no nest.
    """

    wasted: Sequence[Waste]
    in_flight: float


def alone_in(program: Program, found: Settled, room: int, target: Target) -> Alone:
    """What the ops of every nest wait for each other."""
    tiles: dict[Path, list[tuple[Stay, str]]] = {}
    for name, residency in found.taken.items():
        for stay in residency.stays:
            tiles.setdefault(stay.home, []).append((stay, name))
    work: dict[Path, tuple[float, float]] = {}
    at: dict[Path, list[int]] = {}
    for k, op in enumerate(program.ops.values()):
        if op.path:
            known, more = work.get(op.path, (0.0, 0.0)), op_ns(program, op, target)
            work[op.path] = (known[0] + more[0], known[1] + more[1])
            at.setdefault(op.path, []).append(k)
    wasted: list[Waste] = []
    least = float(IN_FLIGHT) if at else 1.0
    for path, positions in at.items():
        flight = float(IN_FLIGHT)
        largest: tuple[str, ...] = ()
        for k in positions:
            alive = [(s, t) for s, t in tiles.get(path, ()) if s.first <= k <= s.last]
            one = sum(s.one_bytes for s, _ in alive)
            free = room - found.load[k] + sum(s.size_bytes for s, _ in alive)
            if one and free / one < flight:
                flight = free / one
                order = sorted(alive, key=lambda a: (-a[0].one_bytes, a[1]))
                largest = tuple(t for _, t in order[:WAY])
        least = min(least, flight)
        share = 1 / max(1.0, flight)
        wait = min(work[path]) * (share - 1 / IN_FLIGHT)
        wasted.append((wait + ITERATION_NS * program.trips(path) * share, largest))
    return Alone(wasted=wasted, in_flight=least)


def unlooped_in(program: Program, target: Target) -> list[Waste]:
    """Work outside of loops besides contracting, which hardly overlaps with what is around it.

    It is listed from one use of the Tensor Engine up to the next.
    """
    runs: list[list[FactorOp]] = [[]]
    contracting = False
    for op in program.ops.values():
        begins = OPS[op.kind].family is Family.CONTRACT and not contracting
        contracting = OPS[op.kind].family is Family.CONTRACT
        if op.path or begins:
            runs.append([])
        if not op.path:
            runs[-1].append(op)
    wasted: list[Waste] = []
    for run in filter(None, runs):
        made = dict.fromkeys(o.output.tensor for o in run)
        largest = sorted(made, key=lambda t: (-program.tensors[t].size_bytes, t))[:WAY]
        wasted.append((sum(op_ns(program, o, target)[1] for o in run), tuple(largest)))
    return wasted


def filling_ns(program: Program, target: Target) -> float:
    """Engines fill and drain once per run of an innermost loop, about one iteration's work."""
    total = 0.0
    for op in program.ops.values():
        if op.path:
            total += sum(op_ns(program, op, target)) / program.loops[op.path[-1]].trips
    return total


def slow_groups(
    found: Settled, alone: Sequence[Waste], target: Target
) -> tuple[tuple[str, ...], ...]:
    """Groups of tensors by what they cost; ``alone`` is work that nothing overlaps."""
    again = [
        (added / target.hbm_bytes_per_ns, tuple(dict.fromkeys((name, *way[:WAY]))))
        for added, name, way in found.demoted
    ]
    waste = sorted((*again, *alone), reverse=True)
    return tuple(dict.fromkeys(names for _, names in waste if names))


def op_ns(program: Program, op: FactorOp, target: Target) -> tuple[float, float]:
    """(Tensor Engine, other engines) of all iterations of an op, roughly."""
    work = math.prod(d.size for d in op.digits) * program.trips(op.path)
    engines = target.engines
    if OPS[op.kind].family is Family.CONTRACT:
        wide = any(program.tensors[a.tensor].dtype == FLOAT32 for a in op.accesses)
        passes = target.float32_matmul_passes if wide else 1
        return passes * work / target.partitions**2 / engines["tensor"].clock_ghz, 0.0
    return 0.0, work / target.partitions / engines["vector"].clock_ghz / OPS_AT_ONCE


def engine_ns(program: Program, target: Target) -> float:
    """The busier of the Tensor Engine, contracting, and the Vector Engine, adding up parts."""
    contracting = combining = 0.0
    for op in program.ops.values():
        tensor_ns, other_ns = op_ns(program, op, target)
        contracting += tensor_ns
        if any(a.tensor in program.carried for a in op.accesses):
            combining += other_ns * OPS_AT_ONCE
    return max(contracting, combining)
