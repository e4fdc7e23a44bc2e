"""Every op is computed once, every output stored once, nothing hidden is needed elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.ir.factor.program import WHOLE, Access
from nkigen_cp.solver.check.facts import Facts, covers
from nkigen_cp.solver.check.nests import looped
from nkigen_cp.solver.check.uses import SLOTS, ops_of
from nkigen_cp.solver.plan import Store

Array = NDArray[np.int64]


def ops(facts: Facts) -> Iterator[str]:
    """Every op of the program belongs to exactly one step."""
    done = Counter(o for c in covers(facts) for o in c.cover.ops)
    moved = (s for s in facts.plan.steps if type(s.spec) in SLOTS)
    done.update(op for step in moved for op in ops_of(step))
    for name in facts.program.ops:
        if done[name] != 1:
            yield f"op {name!r} is computed by {done[name]} steps"
    for covered in covers(facts):
        if covered.psum is not None and covered.cover.ops[0] != covered.domain.name:
            yield f"step {covered.step.name!r} does not begin with its contraction"


def internals(facts: Facts) -> Iterator[str]:
    """What never materialises is made and read inside its cover; all else is written."""
    for c in covers(facts):
        inside, where = c.cover.ops, f"step {c.step.name!r}"
        written = [s.access.tensor for s in c.cover.writes]
        for tensor in c.cover.internal:
            outside = [
                o.name
                for o in (*facts.producers[tensor], *facts.consumers[tensor])
                if o.name not in inside
            ]
            if outside or tensor in facts.program.outputs:
                user = outside[0] if outside else "the caller"
                yield f"{where} hides tensor {tensor!r}, which {user} needs"
        for name in inside:
            made = facts.program.ops[name].output.tensor
            if made not in c.cover.internal and made not in written:
                yield f"{where} computes {made!r} and writes it nowhere"


def outputs(facts: Facts) -> Iterator[str]:
    """Each element of each output is stored once, from where the program says."""
    stores: dict[str, list[Store]] = {}
    for step in facts.plan.steps:
        if isinstance(step.spec, Store) and not step.writes[0].form.endswith("@spill"):
            stores.setdefault(step.spec.target.tensor, []).append(step.spec)
    yield from _views(facts)
    opaque = [o.output.tensor for o in facts.program.ops.values() if o.kind in WHOLE]
    for name in facts.program.outputs:
        if name not in opaque:
            yield from _stored_once(facts, name, stores.get(name, []))


def _stores(facts: Facts) -> list[Store]:
    return [s.spec for s in facts.plan.steps if isinstance(s.spec, Store)]


def _views(facts: Facts) -> Iterator[str]:
    """A store through index maps does what a copy op of the unplanned program does."""
    for view in _stores(facts):
        if view.source == view.target:
            continue
        whole = facts.unlooped.get(view.op)
        copy = looped(facts.plan.loops, whole) if whole is not None else None
        if (
            copy is None
            or copy.kind != "copy"
            or (copy.accesses[0], copy.output) != (view.source, view.target)
            or ({d.name: d.size for d in copy.digits}, copy.path) != (dict(view.digits), view.path)
        ):
            yield f"{view.target.tensor!r} is stored by {view.op!r} as no op of the program says"


def _counts(facts: Facts, store: Store) -> dict[tuple[str, str], int]:
    """Positions of whatever moves a store: its digits, and the loops that it runs in."""
    sizes = {("digit", d): n for d, n in store.digits.items()}
    return sizes | {("loop", k): facts.loops[k].trips for k in store.path}


def _movers(access: Access) -> list[tuple[str, str] | None]:
    """What moves along each factor."""
    return [
        ("digit", i.digit) if i.digit is not None else ("loop", i.loop) if i.loop else None
        for i in access.index
    ]


def _identity(facts: Facts, store: Store) -> bool:
    counts, movers = _counts(facts, store), _movers(store.source)
    factors = facts.tensor(store.source.tensor).factors
    return sorted(m for m in movers if m is not None) == sorted(counts) and all(
        i.offset == 0 and i.step == 1 and m is not None and counts[m] == f.size
        for i, m, f in zip(store.source.index, movers, factors, strict=True)
    )


def spills(facts: Facts) -> Iterator[str]:
    """A store of a tensor into its own home writes all of it in row-major order."""
    for store in _stores(facts):
        if store.source == store.target:
            if not _identity(facts, store):
                yield f"step {store.op!r} does not write each part of {store.source.tensor!r} once"


def _stored_once(facts: Facts, name: str, stores: Sequence[Store]) -> Iterator[str]:
    """Positions along a factor that the same stores write are counted as one."""
    if not stores:
        yield f"output {name!r} is not stored"
        return
    wrong = next((p for s in stores if (p := _off_target(facts, s)) is not None), None)
    if wrong is not None:
        yield f"output {name!r} {wrong}"
        return
    along: list[Array] = []
    for k, factor in enumerate(facts.tensor(name).factors):
        hit = np.zeros((len(stores), factor.size), np.int64)
        for row, store in zip(hit, stores, strict=True):
            row[_window(facts, store, k)] = 1
        along.append(np.unique(hit, axis=1))
    times = np.zeros(tuple(a.shape[1] for a in along), np.int64)
    for n, store in enumerate(stores):
        moved = _movers(store.target)
        again = math.prod(c for m, c in _counts(facts, store).items() if m not in moved)
        hit = np.array(again)
        for a in along:
            hit = hit[..., None] * a[n]
        times += hit
    if not bool((times == 1).all()):
        least, most = int(times.min()), int(times.max())
        yield f"elements of output {name!r} are stored {least} to {most} times, not once"


def _window(facts: Facts, store: Store, k: int) -> slice:
    """Positions along the target's factor ``k`` that a store writes."""
    i, mover = store.target.index[k], _movers(store.target)[k]
    last = _counts(facts, store)[mover] - 1 if mover is not None else 0
    return slice(i.offset, i.offset + i.step * last + 1, i.step)


def _off_target(facts: Facts, store: Store) -> str | None:
    """Why a store's windows are no box of its target."""
    movers = [m for m in _movers(store.target) if m is not None]
    if len(set(movers)) < len(movers):
        return f"is stored by {store.op!r} along a diagonal"
    for k, factor in enumerate(facts.tensor(store.target.tensor).factors):
        i, window = store.target.index[k], _window(facts, store, k)
        if i.step < 1 or window.start < 0 or window.stop > factor.size:
            return f"is stored by {store.op!r} outside of factor {factor.name}"
    return None
