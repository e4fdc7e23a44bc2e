"""A quick look at a structure: HBM traffic and SBUF need, before any layout is chosen.

Every tensor takes the cheapest of a few residencies; while SBUF overflows somewhere, the one that
frees most for the least traffic is changed to its next. What then still overflows names the tensors
that further loops have to break up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import FactorTensor, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.homes import Homes, Path, Spans, copies_of, homes_of, spans_of
from nkigen_cp.solver.plan import Store
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.reuse import WORTH_BYTES
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """SBUF bytes per partition over a range of positions."""

    first: int
    last: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """One way for a tensor to live: what it occupies and the HBM bytes it moves."""

    stays: tuple[Stay, ...]
    moved_bytes: int
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """Outcome: nanoseconds of HBM traffic and of the busiest engine; tensors still too large.

    ``waiting_ns`` is that of loads into tiles with a single buffer, which little can hide.
    ``crowded`` lists the largest tensors alive where most is missing; empty if everything fits.
    """

    dma_ns: float
    engine_ns: float
    waiting_ns: float
    iterations: int
    crowded: tuple[str, ...]
    missing_bytes: int

    @property
    def total_ns(self) -> float:
        """For comparing structures only: overlap of the two, and what every iteration costs."""
        long, short = max(self.dma_ns, self.engine_ns), min(self.dma_ns, self.engine_ns)
        return long + short / 4 + self.waiting_ns / 4 + ITERATION_NS * self.iterations


USED_SHARE = 0.9
"""Part of SBUF that may be full: layouts waste some, and conversions need some."""

ITERATION_NS = 500.0
"""Of filling and draining the engines once per iteration; a guess that only ranks structures."""


def look(program: Program, stores: Sequence[Store], target: Target) -> Coarse:
    """Estimate a bound program."""
    names = list(program.ops)
    spans = spans_of([program.ops[n].path for n in names])
    homes = homes_of(program, stores)
    positions = {n: k for k, n in enumerate(names)}
    options = {
        t: _residencies(_Tensor(program, t, homes[t], positions, spans, target))
        for t in program.tensors
        if (program.producers(t) or program.consumers(t)) and not _in_passing(program, t)
    }
    taken = dict.fromkeys(options, 0)
    room = int(target.sbuf_partition_bytes * USED_SHARE)
    worst, over = _settle(options, taken, len(names), room)
    moved = sum(options[t][k].moved_bytes for t, k in taken.items())
    moved += sum(program.tensors[t].size_bytes for t in program.outputs)
    crowded = _largest(options, taken, worst) if over > 0 else []
    return Coarse(
        dma_ns=moved / target.hbm_bytes_per_ns,
        engine_ns=_engine_ns(program, target),
        waiting_ns=sum(options[t][k].waiting_bytes for t, k in taken.items())
        / target.hbm_bytes_per_ns,
        iterations=sum(
            program.trips(p) for p in dict.fromkeys(o.path for o in program.ops.values()) if p
        ),
        crowded=tuple(crowded),
        missing_bytes=max(0, over),
    )


def _in_passing(program: Program, tensor: str) -> bool:
    """Whether the tensor takes no SBUF: an accumulator's second name, a part on its way into it."""
    if tensor in program.carried:
        return True
    readers = program.consumers(tensor)
    combining = [o for o in readers if any(a.tensor in program.carried for a in o.accesses)]
    return len(readers) == 1 and bool(combining)


def _settle(
    options: Mapping[str, Sequence[Residency]], taken: dict[str, int], steps: int, room: int
) -> tuple[int, int]:
    """Demote residencies until everything fits; the worst position and what is missing there."""
    load = [0] * max(1, steps)
    for found in options.values():
        _add(load, found[0], 1)
    while True:
        over = max(load) - room
        worst = load.index(max(load))
        if over <= 0:
            return worst, over
        best: tuple[float, str, int] | None = None
        for t, k in taken.items():
            here = _bytes_at(options[t][k], worst)
            for j in range(k + 1, len(options[t])):
                freed = here - _bytes_at(options[t][j], worst)
                if freed > 0:
                    added = options[t][j].moved_bytes - options[t][k].moved_bytes
                    rate = (max(0, added) + 1) / min(freed, over)
                    best = min(best, (rate, t, j)) if best else (rate, t, j)
        if best is None:
            return worst, over
        _, t, j = best
        _add(load, options[t][taken[t]], -1)
        taken[t] = j
        _add(load, options[t][j], 1)


def _add(load: list[int], residency: Residency, sign: int) -> None:
    for stay in residency.stays:
        for k in range(stay.first, stay.last + 1):
            load[k] += sign * stay.size_bytes


def _bytes_at(residency: Residency, position: int) -> int:
    return sum(s.size_bytes for s in residency.stays if s.first <= position <= s.last)


def _largest(
    options: Mapping[str, Sequence[Residency]], taken: Mapping[str, int], position: int
) -> list[str]:
    sizes = {t: _bytes_at(options[t][k], position) for t, k in taken.items()}
    return sorted((t for t, n in sizes.items() if n), key=lambda t: (-sizes[t], t))[:4]


@dataclass(frozen=True, slots=True)
class _Tensor:
    program: Program
    name: str
    homes: Homes
    positions: Mapping[str, int]
    spans: Spans
    target: Target

    def stay(self, home: Path, ops: Sequence[str]) -> Stay:
        """A form at a home over its uses by these ops."""
        at = [self.positions[o] for o in ops if o in self.positions]
        first, last = self.spans.lifetime(at, home) if at else (0, 0)
        form = self.homes.form(Layout(), home)
        tensor = self.program.tensors[self.name]
        size = _partition_bytes(self.program, tensor, form, self.target)
        return Stay(first=first, last=last, size_bytes=size * copies_of(self.program, home))

    def loaded_bytes(self, home: Path) -> int:
        """HBM bytes of all tiles; those in short rows count for the time they take."""
        tensor = self.program.tensors[self.name]
        fixed = self.homes.form(Layout(), home).fixed_names
        row = tensor.dtype.size_bytes
        for factor in reversed(tensor.factors):
            if factor.name in fixed:
                break
            row *= factor.size
        tile = tensor.size_bytes // math.prod(tensor.factor(f).size for f in fixed)
        dma = self.target.dma
        slow = max(1.0, dma.min_descriptor_ns * dma.bytes_per_ns_per_engine / row)
        return int(tile * slow) * self.program.trips(home)


def _residencies(t: _Tensor) -> list[Residency]:
    """Cheapest traffic first."""
    program = t.program
    writers = [o.name for o in program.producers(t.name)]
    readers = [o.name for o in program.consumers(t.name)]
    path = {o: program.ops[o].path for o in (*writers, *readers)}
    if not writers:
        if t.name in program.constants:
            return [Residency(stays=(t.stay((), readers),), moved_bytes=0)] if readers else []
        return _loads(t, readers, path)
    made = [Residency(stays=(_reusing(t, writers, readers),), moved_bytes=0)]
    homes = list(t.homes.made)
    results = [program.ops[w].result_path for w in writers]
    near = [r for r in readers if common_path(*results, path[r])]
    far = [r for r in readers if r not in near]
    if len(homes) > 1 or far or not any(results):
        own = t.stay(homes[-1], [*writers, *near])
        size = program.tensors[t.name].size_bytes
        stored = 0 if program.leaves(t.name) else size
        for loads in _loads(t, far, path) if far else []:
            made.append(
                Residency(stays=(own, *loads.stays), moved_bytes=stored + loads.moved_bytes)
            )
    return made


def _reusing(t: _Tensor, writers: list[str], readers: list[str]) -> Stay:
    """The stay of a result; while it is written it may be where a dying operand is."""
    stay = t.stay(t.homes.made[0], [*writers, *readers])
    op = t.program.ops[writers[0]]
    elementwise = len(writers) == 1 and OPS[op.kind].family is Family.ELEMENTWISE
    for access in op.accesses if elementwise else ():
        last = max(t.positions[r.name] for r in t.program.consumers(access.tensor))
        one, other = (t.program.tensors[n] for n in (t.name, access.tensor))
        alike = [f.size for f in one.factors] == [f.size for f in other.factors]
        equal = one.dtype.name == other.dtype.name and stay.size_bytes >= WORTH_BYTES
        if alike and equal and last == t.positions[op.name]:
            return replace(stay, first=stay.first + 1)
    return stay


def _loads(t: _Tensor, readers: Sequence[str], path: Mapping[str, Path]) -> list[Residency]:
    """Loaded once for all, once per outermost loop, or at ever deeper homes."""
    size = t.program.tensors[t.name].size_bytes
    found = [Residency(stays=(t.stay((), readers),), moved_bytes=size)]
    groups: dict[str, list[str]] = {}
    for r in readers:
        groups.setdefault(path[r][0] if path[r] else r, []).append(r)
    depth = max(len(path[r]) for r in readers)
    for k in range(depth + 1):
        stays: list[Stay] = []
        moved = waiting = 0
        for group in groups.values():
            shared = common_path(*(path[r] for r in group))[:k]
            stays.append(t.stay(shared, group))
            loaded = t.loaded_bytes(shared)
            moved += loaded
            waiting += loaded if shared and copies_of(t.program, shared) == 1 else 0
        found.append(Residency(stays=tuple(stays), moved_bytes=moved, waiting_bytes=waiting))
    return sorted(found, key=lambda r: r.moved_bytes)


def _partition_bytes(program: Program, tensor: FactorTensor, form: Layout, target: Target) -> int:
    """Bytes per partition if a run of factors fills the partitions as well as it can."""
    sizes = [f.size for f in tensor.factors if f.name not in form.fixed_names]
    best = 1
    for j in range(len(sizes)):
        inner = 1
        for size in reversed(sizes[: j + 1]):
            block = min(size, target.partitions // inner)
            best = max(best, block * inner)
            inner *= size
            if inner >= target.partitions:
                break
    row_bytes = math.prod(sizes) * tensor.dtype.size_bytes
    if row_bytes <= target.sbuf_partition_bytes and _repeated(program, tensor.name):
        best = 1
    return -(-math.prod(sizes) // best) * tensor.dtype.size_bytes


def _repeated(program: Program, tensor: str) -> bool:
    """Whether some op needs the tensor again on every partition, as a row beside full tiles."""
    for op in program.consumers(tensor):
        if OPS[op.kind].family is Family.CONTRACT:
            continue
        outer = op.output.digits[:1]
        for access in op.accesses:
            if access.tensor == tensor and outer and outer[0] not in access.digits:
                return True
    return False


def _engine_ns(program: Program, target: Target) -> float:
    """The busier of the Tensor Engine, contracting, and the Vector Engine, adding up parts."""
    contracting = combining = 0.0
    for op in program.ops.values():
        work = math.prod(d.size for d in op.digits) * program.trips(op.path)
        if OPS[op.kind].family is Family.CONTRACT:
            widest = max(program.tensors[a.tensor].dtype.size_bytes for a in op.accesses)
            passes = target.float32_matmul_passes if widest == FLOAT32.size_bytes else 1
            contracting += passes * work / target.partitions**2
        elif any(a.tensor in program.carried for a in op.accesses):
            combining += work / target.partitions
    engines = target.engines
    return max(contracting / engines["tensor"].clock_ghz, combining / engines["vector"].clock_ghz)
