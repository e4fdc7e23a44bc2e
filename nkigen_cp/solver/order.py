"""The order of execution: a topological order that every cover respects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nkigen_cp.errors import Infeasible
from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import Program
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.updating import Updating, check_order, updating


def execution_order(
    program: Program, candidates: Sequence[Candidate], stores: Sequence[str]
) -> tuple[str, ...]:
    """Program order, with two exceptions.

    An op that may share an instruction with its producer, each writing its own tensor, moves up to
    right behind it; every store follows whatever may produce what it stores, outside of the loops
    that are not its own.
    """
    order: list[str] = []
    pending = list(program.ops)
    done: set[str] = set()
    waiting = {n: {a.tensor for a in o.accesses} for n, o in program.ops.items()}
    writers = {t: [o.name for o in program.producers(t)] for t in program.tensors}
    early = [c.ops[-1] for c in candidates if len(c.makes) > 1 or _accumulates(c)]

    around = updating(program, candidates)
    paths = {n: o.path for n, o in program.ops.items()}
    paths |= {c.ops[0]: c.path for c in candidates if c.ops[0] in stores}

    def ready(name: str) -> bool:
        if any(w not in done for w in (*around.sooner.get(name, ()), *around.later.get(name, ()))):
            return False
        return all(w in done for t in waiting.get(name, ()) for w in writers[t])

    while pending or any(store not in done for store in around.stores):
        last = paths[order[-1]] if order else ()
        near = (n for n in pending if n in early and paths[n] == last)
        name = next((n for n in near if ready(n)), None)
        name = name or _update(around, order, pending, paths, ready)
        name = name or next((n for n in pending if ready(n)), None)
        if name is None:
            stuck = next(n for n in (*pending, *around.stores) if n not in done)
            raise Infeasible(f"op {stuck!r} waits for an update in place that waits for it")
        order.append(name)
        done.add(name)
        if name in pending:
            pending.remove(name)
    makers: dict[str, list[str]] = {}
    for c in candidates:
        for make in c.makes:
            makers.setdefault(make.tensor, []).append(c.ops[-1])
    sources = {c.ops[0]: c.needs[0].tensor for c in candidates if c.ops[0] in stores}
    for store in stores:
        if store in done:
            continue
        after = [order.index(w) for w in makers.get(sources[store], [])]
        at = _inside(order, paths, paths[store], max(after, default=-1) + 1)
        depth = len(paths[store])
        while at < len(order) and (
            (order[at] in stores and len(common_path(paths[order[at]], paths[store])) == depth)
            or (at and len(common_path(paths[order[at - 1]], paths[order[at]])) > depth)
        ):
            at += 1
        order.insert(at, store)
    check_order(around, order, paths)
    return tuple(order)


def _update(
    around: Updating,
    order: Sequence[str],
    pending: Sequence[str],
    paths: Mapping[str, Path],
    ready: Callable[[str], bool],
) -> str | None:
    """A store that may update its input now: between loops, or in the loop that it is part of."""
    last = paths[order[-1]] if order else ()
    amid = bool(last) and any(paths[n][:1] == last[:1] for n in pending)
    for store in around.stores:
        if store in order or not ready(store) or (amid and paths[store] != last):
            continue
        return store
    return None


def _inside(order: Sequence[str], paths: Mapping[str, Path], path: Path, at: int) -> int:
    """The first place from ``at`` on that is in the loops of a path, or where they can start.

    What is stored may come from outside of them: an input, a tensor made before.
    """
    shared = [len(common_path(paths[name], path)) for name in order]
    deepest = max(shared, default=0)
    around = [k for k, depth in enumerate(shared) if depth == deepest] or [-1]
    if not path:
        return at or len(order)
    return max(at, around[0] + 1) if deepest == len(path) else around[-1] + 1


def _accumulates(candidate: Candidate) -> bool:
    return any(m.slot == "reduce_res" for m in candidate.makes)
