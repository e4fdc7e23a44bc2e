"""How one tensor may live under a structure: what it occupies where, and what it moves."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import FactorTensor, Program
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.homes import Homes, Path, Spans, copies_of
from nkigen_cp.solver.reuse import is_worth_it
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """SBUF bytes per partition over a range of positions; of one buffer in the loops ``home``."""

    first: int
    last: int
    size_bytes: int
    one_bytes: int
    home: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """One way for a tensor to live: what it occupies and the HBM bytes it moves."""

    stays: tuple[Stay, ...]
    moved_bytes: int
    waiting_bytes: int = 0


def bytes_at(residency: Residency, position: int) -> int:
    """Bytes per partition that it takes at a position."""
    return sum(s.size_bytes for s in residency.stays if s.first <= position <= s.last)


@dataclass(frozen=True, slots=True)
class TensorUses:
    """A tensor of a bound program, and where the ops are that use it.

    ``generated`` is a constant that the chip makes where it is needed.
    """

    program: Program
    name: str
    homes: Homes
    positions: Mapping[str, int]
    spans: Spans
    target: Target
    generated: bool

    @property
    def looped(self) -> bool:
        """Whether it comes from HBM for loops."""
        readers = self.program.consumers(self.name)
        return not self.program.producers(self.name) and any(o.path for o in readers)

    @property
    def picked(self) -> bool:
        """Whether only the positions that traced indices name are read of it, where it is."""
        readers = self.program.consumers(self.name)
        return bool(readers) and all(
            all(a.picks for a in o.accesses if a.tensor == self.name) for o in readers
        )

    @property
    def picked_bytes(self) -> int:
        """HBM bytes of all that is read of it, position by position."""
        made = (self.program.tensors[o.output.tensor] for o in self.program.consumers(self.name))
        return sum(t.size_bytes for t in made)

    def fixed(self, home: Path) -> tuple[str, ...]:
        """Factors that a form at a home has one position of at a time."""
        return tuple(f.factor for f in self.homes.fixed if f.loop in home)

    def stay(self, home: Path, ops: Sequence[str]) -> Stay:
        """A form at a home over its uses by these ops."""
        at = [self.positions[o] for o in ops if o in self.positions]
        first, last = self.spans.lifetime(at, home) if at else (0, 0)
        tensor = self.program.tensors[self.name]
        size = _partition_bytes(self.program, tensor, self.fixed(home), self.target)
        return Stay(
            first=first,
            last=last,
            size_bytes=size * copies_of(self.program, home),
            one_bytes=size,
            home=home,
        )

    def loaded_bytes(self, home: Path) -> int:
        """HBM bytes of all tiles; those in short rows count for the time they take."""
        tensor = self.program.tensors[self.name]
        fixed = self.fixed(home)
        row = tensor.dtype.size_bytes
        for factor in reversed(tensor.factors):
            if factor.name in fixed:
                break
            row *= factor.size
        tile = tensor.size_bytes // math.prod(tensor.factor(f).size for f in fixed)
        dma = self.target.dma
        slow = max(1.0, dma.min_descriptor_ns * dma.bytes_per_ns_per_engine / row)
        return int(tile * slow) * self.program.trips(home)


class Options:
    """A tensor's residencies, the cheapest traffic first; those of more are made when asked for."""

    __slots__ = ("_others", "first", "tensor")

    def __init__(self, tensor: TensorUses) -> None:
        self.tensor = tensor
        self.first = _first(tensor)
        self._others: list[Residency] | None = None

    def smallest(self) -> Residency | None:
        """Of those with the least traffic the one that takes the least room."""
        if self.first is None or not self.tensor.looped:
            return self.first
        found = [r for r in (self.first, *self.others()) if r.moved_bytes <= self.first.moved_bytes]
        return min(found, key=lambda r: (r.waiting_bytes, sum(s.size_bytes for s in r.stays)))

    def others(self) -> list[Residency]:
        if self._others is None:
            self._others = _others(self.tensor)
        return self._others

    def after(self, taken: Residency) -> list[Residency]:
        """What may follow where ``taken`` does not fit."""
        others = self.others()
        return others if taken is self.first else others[others.index(taken) + 1 :]


def _first(t: TensorUses) -> Residency | None:
    """In SBUF from birth to last use, once loaded; None for a constant that nobody reads."""
    program = t.program
    readers = [o.name for o in program.consumers(t.name)]
    writers = [o.name for o in program.producers(t.name)]
    if writers:
        return Residency(stays=(_reusing(t, writers, readers),), moved_bytes=0)
    if t.name not in program.constants:
        if t.picked:
            return Residency(stays=(), moved_bytes=t.picked_bytes)
        size = program.tensors[t.name].size_bytes
        waiting = size if any(program.ops[r].path for r in readers) else 0
        stay = t.stay((), readers)
        return Residency(stays=(stay,), moved_bytes=size, waiting_bytes=waiting)
    return Residency(stays=(t.stay((), readers),), moved_bytes=0) if readers else None


def _others(t: TensorUses) -> list[Residency]:
    """Further ways to live, the cheapest traffic first."""
    program = t.program
    writers = [o.name for o in program.producers(t.name)]
    readers = [o.name for o in program.consumers(t.name)]
    path = {o: program.ops[o].path for o in (*writers, *readers)}
    if t.generated:
        return _made_anew(t, readers, path)
    if not writers:
        return [] if t.picked or t.name in program.constants else _loads(t, readers, path)
    made: list[Residency] = []
    homes = list(t.homes.made)
    results = [program.ops[w].result_path for w in writers]
    near = [r for r in readers if common_path(*results, path[r])]
    far = [r for r in readers if r not in near]
    if len(homes) > 1 or far or not any(results):
        own = t.stay(homes[-1], [*writers, *near])
        size = program.tensors[t.name].size_bytes
        stored = 0 if program.leaves(t.name) else size
        whole = Residency(stays=(t.stay((), far),), moved_bytes=size) if far else None
        for loads in (whole, *_loads(t, far, path)) if whole else ():
            made.append(
                Residency(stays=(own, *loads.stays), moved_bytes=stored + loads.moved_bytes)
            )
    return made


def _reusing(t: TensorUses, writers: list[str], readers: list[str]) -> Stay:
    """The stay of a result; while it is written it may be where a dying operand is."""
    stay = t.stay(t.homes.made[0], [*writers, *readers])
    op = t.program.ops[writers[0]]
    elementwise = len(writers) == 1 and OPS[op.kind].family is Family.ELEMENTWISE
    for access in op.accesses if elementwise else ():
        last = max(t.positions[r.name] for r in t.program.consumers(access.tensor))
        one, other = (t.program.tensors[n] for n in (t.name, access.tensor))
        alike = [f.size for f in one.factors] == [f.size for f in other.factors]
        equal = one.dtype.name == other.dtype.name and is_worth_it(stay.size_bytes, t.target)
        if alike and equal and last == t.positions[op.name]:
            return replace(stay, first=stay.first + 1)
    return stay


def _loads(t: TensorUses, readers: Sequence[str], path: Mapping[str, Path]) -> list[Residency]:
    """Loaded once per outermost loop, or at ever deeper homes."""
    found: list[Residency] = []
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
            nested = any(path[r] for r in group)
            waiting += loaded if nested and copies_of(t.program, shared) == 1 else 0
        found.append(Residency(stays=tuple(stays), moved_bytes=moved, waiting_bytes=waiting))
    return sorted(found, key=lambda r: r.moved_bytes)


def _made_anew(t: TensorUses, readers: Sequence[str], path: Mapping[str, Path]) -> list[Residency]:
    """Made on the chip for every iteration, at ever deeper homes."""
    found: list[Residency] = []
    for k in range(1, max((len(path[r]) for r in readers), default=0) + 1):
        homes = dict.fromkeys(path[r][:k] for r in readers)
        stays = [t.stay(h, [r for r in readers if path[r][:k] == h]) for h in homes]
        found.append(Residency(stays=tuple(stays), moved_bytes=0))
    return found


def _partition_bytes(
    program: Program, tensor: FactorTensor, fixed: Sequence[str], target: Target
) -> int:
    """Bytes per partition if a run of factors fills the partitions as well as it can."""
    sizes = tuple(f.size for f in tensor.factors if f.name not in fixed)
    best = _most_partitions(sizes, target.partitions)
    row_bytes = math.prod(sizes) * tensor.dtype.size_bytes
    if row_bytes <= target.sbuf_partition_bytes and _repeated(program, tensor.name):
        best = 1
    return -(-math.prod(sizes) // best) * tensor.dtype.size_bytes


@functools.cache
def _most_partitions(sizes: tuple[int, ...], partitions: int) -> int:
    """The most partitions that a run of factors of these sizes can fill."""
    best = 1
    for j in range(len(sizes)):
        inner = 1
        for size in reversed(sizes[: j + 1]):
            block = min(size, partitions // inner)
            best = max(best, block * inner)
            inner *= size
            if inner >= partitions:
                break
    return best


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
