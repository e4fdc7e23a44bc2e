"""The order around updates in place: an old value is read before, the new one behind its stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.plan import Scatter, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Updating:
    """``sooner`` are the ops ahead of each store that updates an input or reads one that is.

    ``later`` are the updating stores ahead of an op.

    Of the former, ``makers`` only make what is stored, so that they may be in one loop with it.
    """

    sooner: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    later: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    makers: tuple[str, ...] = ()

    @property
    def stores(self) -> tuple[str, ...]:
        return tuple(self.sooner)


def updating(program: Program, candidates: Sequence[Candidate]) -> Updating:
    """What has to come before what, given by the last op of every candidate."""
    stores = _stores(program, candidates)
    sooner: dict[str, dict[str, None]] = {op: {} for op in stores}
    later: dict[str, dict[str, None]] = {}
    reading: dict[str, None] = {}
    for c in candidates:
        root = c.ops[-1]
        for op, store in stores.items():
            new = program.renewed(store.target)
            assert new is not None
            reads = [n.tensor for n in c.needs]
            if root != op and any(m.tensor in store.sources for m in c.makes):
                sooner[op][root] = None
            if root != op and any(t in program.outdated(new) for t in reads):
                sooner[op][root] = reading[root] = None
            if any(t in program.current(new) for t in reads):
                later.setdefault(root, {})[op] = reading[root] = None
    for c in candidates:
        if isinstance(c.spec, Store) and c.ops[0] in reading:
            source = c.spec.source.tensor
            made = [m.ops[-1] for m in candidates if any(x.tensor == source for x in m.makes)]
            sooner[c.ops[0]] = dict.fromkeys(made)
    return Updating(
        sooner={op: tuple(found) for op, found in sooner.items()},
        later={op: tuple(found) for op, found in later.items()},
        makers=tuple(a for ahead in sooner.values() for a in ahead if a not in reading),
    )


@dataclass(frozen=True, slots=True)
class _Written:
    """What a store writes in HBM, and from which tensors on chip."""

    target: str
    sources: tuple[str, ...]


def _stores(program: Program, candidates: Sequence[Candidate]) -> dict[str, _Written]:
    found: dict[str, _Written] = {}
    for c in candidates:
        if isinstance(c.spec, Store):
            written = _Written(c.spec.target.tensor, (c.spec.source.tensor,))
        elif isinstance(c.spec, Scatter):
            sources = tuple(n.tensor for n in c.needs if n.layout is not None)
            written = _Written(c.makes[0].tensor, sources)
        else:
            continue
        if program.renewed(written.target) is not None:
            found[c.ops[0]] = written
    return found


def without_waiting_for_itself(
    program: Program, candidates: Sequence[Candidate]
) -> list[Candidate]:
    """The candidates without those that would do together what an update lies between."""
    found = list(candidates)
    for new in program.updated:
        behind = _behind(program, new)
        stores = _stores(program, candidates).values()
        sources = [t for s in stores if program.renewed(s.target) == new for t in s.sources]
        old = program.outdated(new)
        found = [
            c
            for c in found
            if c.ops[-1] not in behind
            or not (
                any(n.tensor in old for n in c.needs) or any(m.tensor in sources for m in c.makes)
            )
        ]
    return found


def _behind(program: Program, new: str) -> dict[str, None]:
    """The ops that depend on an updated value."""
    behind: dict[str, None] = {}
    for op in program.ops.values():
        inputs = [a.tensor for a in op.accesses]
        made = (w.name for t in inputs for w in program.producers(t))
        if any(t in program.current(new) for t in inputs) or any(w in behind for w in made):
            behind[op.name] = None
    return behind


def check_order(found: Updating, order: Sequence[str], paths: Mapping[str, Path]) -> None:
    """Make sure that no loop has both sides of an update in it.

    Raises:
        Infeasible: one does, or the order is not kept.
    """
    place = {op: k for k, op in enumerate(order)}
    pairs = [(a, store, a) for store, ahead in found.sooner.items() for a in ahead]
    pairs += [(store, b, b) for b, ahead in found.later.items() for store in ahead]
    for first, second, other in pairs:
        together = paths[first][:1] == paths[second][:1] != ()
        if place[first] > place[second] or (together and other not in found.makers):
            raise Infeasible(
                f"op {second!r} updates or reads an input in place, which has to be done after all "
                f"of {first!r}"
            )
