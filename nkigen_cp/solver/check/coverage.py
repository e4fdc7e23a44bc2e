"""Every op is computed once, every output stored once, nothing hidden is needed elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nkigen_cp.ir.factor.program import Access
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.solver.check.facts import Facts, covers
from nkigen_cp.solver.plan import Reinterpret, Store


def ops(facts: Facts) -> Iterator[str]:
    """Every op of the program belongs to exactly one step."""
    done = Counter(o for c in covers(facts) for o in c.cover.ops)
    done.update(s.spec.op for s in facts.plan.steps if isinstance(s.spec, Reinterpret))
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
    opaque = [o.output.tensor for o in facts.program.ops.values() if o.kind == "reshape"]
    for name in facts.program.outputs:
        if name not in opaque:
            yield from _stored_once(facts, name, stores.get(name, []))


def _stores(facts: Facts) -> list[Store]:
    return [s.spec for s in facts.plan.steps if isinstance(s.spec, Store)]


def _views(facts: Facts) -> Iterator[str]:
    """A store through index maps does what a copy op of the unplanned program does."""
    views = [s for s in _stores(facts) if s.source != s.target]
    copies = refine(facts.program.graph).ops if views else facts.program.ops
    for view in views:
        copy = copies.get(view.op)
        if (
            copy is None
            or copy.kind != "copy"
            or (copy.accesses[0], copy.output) != (view.source, view.target)
            or {d.name: d.size for d in copy.digits} != dict(view.digits)
        ):
            yield f"{view.target.tensor!r} is stored by {view.op!r} as no op of the program says"


def _identity(facts: Facts, access: Access, digits: Mapping[str, int]) -> bool:
    factors = facts.tensor(access.tensor).factors
    return len(set(access.digits)) == len(factors) and all(
        i.offset == 0 and i.step == 1 and i.digit is not None and digits[i.digit] == f.size
        for i, f in zip(access.index, factors, strict=True)
    )


def spills(facts: Facts) -> Iterator[str]:
    """A store of a tensor into its own home writes all of it in row-major order."""
    for store in _stores(facts):
        if store.source == store.target:
            if not _identity(facts, store.source, store.digits):
                yield f"step {store.op!r} writes only part of {store.source.tensor!r}"


def _stored_once(facts: Facts, name: str, stores: Sequence[Store]) -> Iterator[str]:
    tensor = facts.tensor(name)
    times = np.zeros(tuple(f.size for f in tensor.factors), np.uint8)
    for store in stores:
        window = tuple(
            i.offset
            if i.digit is None
            else slice(i.offset, i.offset + i.step * (store.digits[i.digit] - 1) + 1, i.step)
            for i in store.target.index
        )
        times[window] += np.uint8(1)
    if not bool((times == 1).all()):
        least, most = int(times.min()), int(times.max())
        yield f"elements of output {name!r} are stored {least} to {most} times, not once"
