"""Decisions of which one is changed, with as little else as that needs.

The forms that a change leaves without a reader go, those that it needs come the cheapest way. Where
none leads there, the answer is a sentence that says what stands against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.errors import Infeasible
from nkigen_cp.solver.candidates import Candidate, Need
from nkigen_cp.solver.choices import Choice, at_once
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.greedy import Held, acquire
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.variables import loadable, may_visit

Visit = tuple[str, Layout, str]


class Refused(Exception):
    """What stands against a change, in words."""


@dataclass(slots=True)
class _Patch:
    """Decisions on their way; ``held.kept`` has what is kept and what is only passed."""

    instance: Instance
    before: Decisions
    chosen: list[int]
    held: Held
    visiting: list[Visit]
    touched: dict[str, None]

    def choice(self, tensor: str) -> Choice:
        self.touched[tensor] = None
        return self.instance.choices[tensor]

    def readers(self, tensor: str) -> list[tuple[Need, str]]:
        """What reads the tensor, and the op that does."""
        candidates = [self.instance.candidates[i] for i in self.chosen]
        return [(n, c.ops[-1]) for c in candidates for n in c.needs if n.tensor == tensor]

    def acquire(self, need: Need, root: str) -> None:
        """Bring a tensor to a reader, if it is not there."""
        choice = self.choice(need.tensor)
        forms = choice.served.get((need.layout, root), ())
        if any((need.tensor, f, root) in self.visiting for f in forms):
            return
        try:
            acquire(self.instance, self.held, need, root)
        except Infeasible:
            raise Refused(
                f"{root} needs {need.tensor} with {need.layout} and nothing brings it there"
            ) from None

    def acquire_all(self, tensor: str) -> None:
        for need, root in self.readers(tensor):
            self.acquire(need, root)


def exchanged(instance: Instance, decisions: Decisions, old: int, new: int) -> Decisions:
    """The decisions with another candidate for the same ops.

    Raises:
        Refused: what it reads or makes fits nothing else.
    """
    p = _started(instance, decisions)
    p.chosen[p.chosen.index(old)] = new
    before, after = instance.candidates[old], instance.candidates[new]
    p.visiting = [v for v in p.visiting if v[2] != before.ops[-1]]
    for need in (*before.needs, *after.needs):
        p.touched[need.tensor] = None
    was = {m.tensor: m.layout for m in before.makes}
    for make in after.makes:
        if make.layout != was.get(make.tensor):
            _remake(p, make.tensor, make.layout, after.ops)
    _accumulating(p, before, after)
    for need in after.needs:
        p.acquire(need, after.ops[-1])
    return _finished(p)


def resident(instance: Instance, decisions: Decisions, tensor: str) -> Decisions:
    """The decisions with the tensor on chip from birth to last use, no copy loaded again.

    Raises:
        Refused: some reader takes it from HBM, or what is made cannot be kept.
    """
    p = _started(instance, decisions)
    choice = p.choice(tensor)
    p.visiting = [v for v in p.visiting if v[0] != tensor]
    if tensor in p.held.spilled:
        native = p.held.native[tensor]
        made = next(forms for forms in choice.made.values() if native in forms)
        p.held.native[tensor] = min(made, key=lambda f: len(f.home))
        del p.held.spilled[tensor]
        p.held.moved.pop(tensor, None)
        p.held.kept[tensor] = [p.held.native[tensor]]
        if any(need.layout is None for need, _ in p.readers(tensor)):
            raise Refused(f"{tensor} is read from HBM")
    p.acquire_all(tensor)
    return _finished(p)


def reloaded(instance: Instance, decisions: Decisions, tensor: str) -> Decisions:
    """The decisions with a copy of the tensor loaded for every use after the first.

    Raises:
        Refused: no use lets itself be served so.
    """
    p = _started(instance, decisions)
    choice = p.choice(tensor)
    kept = p.held.kept.get(tensor, ())
    uses = sorted(p.readers(tensor), key=lambda r: instance.position(r[1]))
    found = [
        (tensor, f, root)
        for need, root in uses[1:]
        for f in choice.served.get((need.layout, root), ())
        if f in kept and f in loadable(choice) and not (f.home or instance.path(root))
    ]
    if not (found and may_visit(choice)):
        raise Refused(f"no later use of {tensor} can load it by itself")
    if not choice.in_hbm and tensor not in p.held.spilled:
        native = p.held.native.get(tensor)
        if native is None or native not in choice.spills:
            raise Refused(f"{tensor} cannot be stored from how it is made")
        p.held.spilled[tensor] = [native]
    p.visiting += [v for v in dict.fromkeys(found) if v not in p.visiting]
    return _finished(p)


def _started(instance: Instance, decisions: Decisions) -> _Patch:
    held = Held()
    made = [m for i in decisions.chosen for m in instance.candidates[i].makes]
    layouts = {m.tensor: m.layout for m in made}
    for tensor, choice in instance.choices.items():
        kept = (*decisions.kept.get(tensor, ()), *decisions.passed.get(tensor, ()))
        spilled = decisions.spilled.get(tensor, ())
        layout = layouts.get(tensor)
        places = () if layout is None else choice.made[layout]
        native = [f for f in places if f in (*kept, *spilled)]
        held.kept[tensor] = list(kept)
        if native:
            held.native[tensor] = native[0]
        if spilled:
            held.spilled[tensor] = list(spilled)
        held.moved[tensor] = list(decisions.moved.get(tensor, ()))
    held.written += [m.tensor for m in made if m.layout is None]
    return _Patch(instance, decisions, list(decisions.chosen), held, list(decisions.visiting), {})


def _accumulating(p: _Patch, before: Candidate, after: Candidate) -> None:
    """An accumulator lies where it lay before the iteration: both stay as they are.

    Raises:
        Refused: the other candidate has it elsewhere.
    """
    carried = p.instance.program.carried
    both = (*carried, *carried.values())
    was, wanted = (
        {(n.tensor, n.layout) for n in (*c.needs, *c.makes) if n.tensor in both}
        for c in (before, after)
    )
    if was != wanted:
        raise Refused(f"{after.ops[-1]} adds to what its loop carries on, which lies as it does")


def _remake(p: _Patch, tensor: str, layout: Layout | None, ops: Sequence[str]) -> None:
    """The tensor is made in another layout: moves and spills start there."""
    choice, old = p.choice(tensor), p.held.native.get(tensor)
    if layout is None or old is None:
        raise Refused(f"{tensor} would be written to HBM or from there")
    if any(o not in ops for o in choice.producers):
        raise Refused(f"several ops write {tensor}, and all in one layout")
    forms = choice.made[layout]
    new = next((f for f in forms if f.home == old.home), forms[0])
    if old in p.held.spilled.get(tensor, ()):
        if new not in choice.spills:
            raise Refused(f"{tensor} with {new} cannot be stored to HBM")
        p.held.spilled[tensor] = [new]
    p.held.native[tensor] = new
    kept = p.held.kept[tensor]
    p.held.kept[tensor] = [new, *(f for f in kept if f not in (old, new))]
    moves = [choice.moves[j] for j in p.held.moved[tensor]]
    gone = [m.target for m in moves if m.source == old or m.target == new]
    p.held.moved[tensor] = [
        j for j, m in zip(p.held.moved[tensor], moves, strict=True) if m.target not in gone
    ]
    p.held.kept[tensor] = [f for f in p.held.kept[tensor] if f == new or f not in gone]
    p.acquire_all(tensor)


def _finished(p: _Patch) -> Decisions:
    """What nobody reads goes; tensors that were not touched stay as they were."""
    kept, passed = dict(p.before.kept), dict(p.before.passed)
    for tensor in p.touched:
        used = _used(p, tensor)
        gone = _passed(p, tensor, used)
        kept[tensor] = tuple(f for f in p.held.kept.get(tensor, ()) if f in used and f not in gone)
        passed[tensor] = gone
    found = Decisions(
        chosen=tuple(sorted(p.chosen)),
        moved={t: tuple(js) for t, js in sorted(p.held.moved.items()) if js},
        kept={t: xs for t, xs in sorted(kept.items()) if xs},
        passed={t: xs for t, xs in sorted(passed.items()) if xs},
        spilled={t: tuple(xs) for t, xs in sorted(p.held.spilled.items())},
        visiting=tuple(p.visiting),
    )
    return replace(found, reused=tuple(i for i in p.before.reused if _reusable(p, found, i)))


def _used(p: _Patch, tensor: str) -> dict[Layout, None]:
    """Forms that ops or moves take; the moves into others, and a spill nobody needs, are dropped.

    What the ops make is there in any case, and kept unless it is only stored.
    """
    choice, kept = p.instance.choices[tensor], p.held.kept.get(tensor, [])
    used: dict[Layout, None] = {}
    from_hbm = False
    for need, root in p.readers(tensor):
        forms = choice.served.get((need.layout, root), ())
        if need.layout is None or any((tensor, f, root) in p.visiting for f in forms):
            from_hbm = True
        else:
            used[max((f for f in forms if f in kept), key=lambda f: len(f.home))] = None
    moves: dict[int, None] = {}
    native = p.held.native.get(tensor)
    for form in list(used):
        at: Layout | None = form
        while at is not None and at != native:
            js = [j for j in p.held.moved.get(tensor, ()) if choice.moves[j].target == at]
            best = min(js, key=lambda j: sum(choice.moves[j].busy_ns.values()))
            moves[best] = None
            at = choice.moves[best].source
            from_hbm = from_hbm or at is None
            used |= {} if at is None else {at: None}
    p.held.moved[tensor] = sorted(moves)
    if not from_hbm:
        p.held.spilled.pop(tensor, None)
    if native is not None and tensor not in p.held.spilled:
        used[native] = None
    return used


def _passed(p: _Patch, tensor: str, used: Mapping[Layout, None]) -> tuple[Layout, ...]:
    """Forms that no op reads and that one move leaves at once."""
    choice = p.instance.choices[tensor]
    read = [
        max((f for f in choice.served[need.layout, root] if f in used), key=lambda f: len(f.home))
        for need, root in p.readers(tensor)
        if need.layout is not None and not any(v[0] == tensor and v[2] == root for v in p.visiting)
    ]
    moves = [choice.moves[j] for j in p.held.moved[tensor]]
    leaving = {f: [m for m in moves if m.source == f] for f in used}
    stored = p.held.spilled.get(tensor, ())
    return tuple(
        f
        for f, left in leaving.items()
        if f not in read and f not in stored and len(left) == 1 and at_once(left[0])
    )


def _reusable(p: _Patch, found: Decisions, i: int) -> bool:
    """Whether a result can still take an operand's place."""
    r = p.instance.reuses[i]
    held = ((r.operand, r.operand_form), (r.result, r.result_form))
    there = all(x in (*found.kept.get(t, ()), *found.passed.get(t, ())) for t, x in held)
    return there and any(c in found.chosen for c in r.candidates)
