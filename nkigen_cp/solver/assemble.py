"""Decisions -> steps over forms: the moves just before their first use, stores behind producers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.solver.candidates import Candidate, Move
from nkigen_cp.solver.choices import path_of, spill_of
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.homes import Path, copies_of, spans_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.plan import Form, Step, Store, Use
from nkigen_cp.solver.plan.layout import Layout


@dataclass(slots=True)
class _Assembly:
    """``opened`` are the loops around the last step and where they start in ``steps``.

    ``waiting`` is done once the loop at the end of a path has ended.
    """

    instance: Instance
    decisions: Decisions
    steps: list[Step] = field(default_factory=list[Step])
    forms: dict[str, Form] = field(default_factory=dict[str, Form])
    opened: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    waiting: list[tuple[Path, Callable[[], None]]] = field(
        default_factory=list[tuple[Path, Callable[[], None]]]
    )

    def form(self, tensor: str, layout: Layout | None, suffix: str = "") -> str:
        name = f"{tensor}@{self._home(tensor) if layout is None else layout}{suffix}"
        return self.named(name, tensor, layout)

    def _home(self, tensor: str) -> str:
        """A spilled output gets a scratch of its own; its output buffer is written once."""
        spilled = self.decisions.spilled.get(tensor, ())
        return "spill" if spilled and tensor in self.instance.program.outputs else "hbm"

    def named(self, name: str, tensor: str, layout: Layout | None) -> str:
        """The form of that name."""
        if name not in self.forms:
            size = 0 if layout is None else self.instance.choices[tensor].sizes[layout]
            home = () if layout is None else layout.home
            self.forms[name] = Form(
                name=name,
                tensor=tensor,
                layout=layout,
                partition_bytes=size,
                first_step=-1,
                last_step=-1,
                copies=copies_of(self.instance.program, home),
            )
        return name

    def _over(self, form: Form, before: Mapping[str, str]) -> str | None:
        """An input that is updated, its new value and its pieces lie in one place in HBM."""
        new = self._updated(form)
        first = before.get(new, form.name) if new is not None else form.name
        return form.over if first == form.name else first

    def _updated(self, form: Form) -> str | None:
        """The updated value in whose place a form lies, before or after."""
        program = self.instance.program
        if form.layout is not None or form.name.endswith("@spill"):
            return None
        for new in program.updated:
            there = (*program.outdated(new), *program.current(new))
            if program.renewed(form.tensor) == new or form.tensor in there:
                return new
        return None

    def enter(self, path: Path) -> None:
        """End the loops that do not surround ``path`` and start those that do."""
        kept = len(common_path([name for name, _ in self.opened], path))
        if kept < len(self.opened):
            ready = [w for w in self.waiting if common_path(w[0], path) != w[0]]
            self.waiting = [w for w in self.waiting if common_path(w[0], path) == w[0]]
            for ended, do in sorted(ready, key=lambda w: -len(w[0])):
                del self.opened[len(ended) - 1 :]
                do()
            del self.opened[kept:]
        self.opened += [(name, len(self.steps)) for name in path[kept:]]

    def step(self, step: Step) -> None:
        self.enter(step.path)
        self.steps.append(step)

    def ahead(self, step: Step) -> None:
        """Before the open loops that do not surround the step."""
        depth = len(common_path([name for name, _ in self.opened], step.path))
        if depth == len(self.opened):
            self.step(step)
            return
        at = self.opened[depth][1]
        self.steps.insert(at, step)
        self.opened[depth:] = [(name, k + 1) for name, k in self.opened[depth:]]

    def finish(self) -> tuple[list[Step], list[Form]]:
        """Number the steps and give forms their exact lifetimes."""
        self.enter(())
        spans = spans_of([s.path for s in self.steps])
        used: dict[str, list[int]] = {name: [] for name in self.forms}
        for k, step in enumerate(self.steps):
            for use in (*step.reads, *step.writes):
                used[use.form].append(k)
        forms: list[Form] = []
        places: dict[str, str] = {}
        for form in self.forms.values():
            new = self._updated(form)
            if new is not None:
                places.setdefault(new, form.name)
        for name, form in self.forms.items():
            home = () if form.layout is None else form.layout.home
            first, last = spans.lifetime(used[name], home)
            over = self._over(form, places)
            forms.append(replace(form, first_step=first, last_step=last, over=over))
        return [replace(s, group=k) for k, s in enumerate(self.steps)], forms


def assemble(instance: Instance, decisions: Decisions) -> tuple[list[Step], list[Form]]:
    """The executable order of a set of decisions; forms carry their exact lifetimes."""
    a = _Assembly(instance, decisions)
    by_root = {instance.candidates[i].ops[-1]: instance.candidates[i] for i in decisions.chosen}
    for op in instance.order:
        candidate = by_root.get(op)
        if candidate is not None:
            _execute(a, op, candidate)
    return a.finish()


def _execute(a: _Assembly, op: str, candidate: Candidate) -> None:
    a.enter(candidate.path)
    reads: list[Use] = []
    for need in candidate.needs:
        if need.layout is None:
            form = a.form(need.tensor, None)
        else:
            form = _held(a, need.tensor, need.layout, op)
        reads.append(Use(slot=need.slot, form=form))
    writes = [
        Use(slot=m.slot, form=a.form(m.tensor, _written(a, m.tensor, m.layout)))
        for m in candidate.makes
    ]
    _take_over(a, reads, writes)
    if isinstance(candidate.spec, Store):
        name = f"{candidate.spec.target.tensor}@hbm"
        a.named(name, candidate.spec.target.tensor, None)
        writes.append(Use(slot="dst", form=name))
    a.step(
        Step(
            name=op,
            group=0,
            spec=candidate.spec,
            reads=tuple(reads),
            writes=tuple(writes),
            busy_ns=candidate.busy_ns,
            sbuf_bytes=candidate.sbuf_bytes,
            psum_banks=candidate.psum_banks,
            path=candidate.path,
        )
    )
    for make in candidate.makes:
        form = _written(a, make.tensor, make.layout)
        if form is not None:
            _pass_on(a, make.tensor, form, candidate)
        if form is not None and form in a.decisions.spilled.get(make.tensor, ()):
            _spill(a, make.tensor, form, candidate)


def _take_over(a: _Assembly, reads: list[Use], writes: list[Use]) -> None:
    """An accumulator after an iteration lies where it was before; a result may be put so, too."""
    for i in a.decisions.reused:
        reuse = a.instance.reuses[i]
        source = f"{reuse.operand}@{reuse.operand_form}"
        target = f"{reuse.result}@{reuse.result_form}"
        if any(u.form == source for u in reads) and any(u.form == target for u in writes):
            a.forms[target] = replace(a.forms[target], over=source)
    carried = a.instance.program.carried
    for read in reads:
        before = a.forms[read.form]
        for write in writes:
            after = a.forms[write.form]
            if carried.get(before.tensor) == after.tensor:
                a.forms[write.form] = replace(after, over=read.form)
                a.forms[read.form] = replace(before, partition_bytes=after.partition_bytes)


def _written(a: _Assembly, tensor: str, layout: Layout | None) -> Layout | None:
    """The form in which a result is held or from which it is spilled."""
    if layout is None:
        return None
    places = (a.decisions.kept, a.decisions.spilled, a.decisions.passed)
    chosen = [x for found in places for x in found.get(tensor, ())]
    return next(f for f in a.instance.choices[tensor].made[layout] if f in chosen)


def _held(a: _Assembly, tensor: str, layout: Layout, op: str) -> str:
    """The form that a reader uses: one that is there, the nearest of several, or a visit."""
    forms = a.instance.choices[tensor].served[layout, op]
    for form in forms:
        if (tensor, form, op) in a.decisions.visiting:
            return _visit(a, tensor, form, op)
    kept = a.decisions.kept.get(tensor, ())
    nearest = max((f for f in forms if f in kept), key=lambda f: len(f.home))
    return _materialise(a, tensor, nearest)


def _pass_on(a: _Assembly, tensor: str, form: Layout, candidate: Candidate) -> None:
    """Move what is not kept, or is kept for this iteration only, as soon as it is complete."""
    choice = a.instance.choices[tensor]
    if choice.producers[-1] not in candidate.ops:
        return
    passed = form in a.decisions.passed.get(tensor, ())
    for j in a.decisions.moved.get(tensor, ()):
        move = choice.moves[j]
        outlives = len(move.target.home) < len(form.home)
        if move.source == form and (outlives or (passed and move.target.home == form.home)):
            target = move.target
            _once_whole(a, form, candidate, lambda t=target: _moved_on(a, tensor, t))


def _moved_on(a: _Assembly, tensor: str, target: Layout) -> None:
    _materialise(a, tensor, target)


def _spill(a: _Assembly, tensor: str, form: Layout, candidate: Candidate) -> None:
    if a.instance.choices[tensor].producers[-1] not in candidate.ops:
        return
    program = a.instance.program
    spec = spill_of(program.tensors[tensor], form)
    step = Step(
        name=f"spill.{tensor}",
        group=0,
        spec=spec,
        reads=(Use(slot="src", form=a.form(tensor, form)),),
        writes=(Use(slot="dst", form=a.form(tensor, None)),),
        busy_ns={"dma": a.instance.choices[tensor].spills[form]},
        path=form.home,
    )
    _once_whole(a, form, candidate, lambda: a.step(step))


def _once_whole(a: _Assembly, form: Layout, candidate: Candidate, do: Callable[[], None]) -> None:
    """Do something with a form that a candidate completes: now, or when its inner loops end."""
    if len(candidate.path) > len(form.home):
        a.waiting.append((candidate.path[: len(form.home) + 1], do))
    else:
        do()


def _visit(a: _Assembly, tensor: str, layout: Layout, op: str) -> str:
    choice = a.instance.choices[tensor]
    move = next(m for m in choice.moves if m.source is None and m.target == layout)
    known = len(a.forms)
    target = a.form(tensor, layout, f"#{op}")
    if len(a.forms) > known:
        _move(a, move, target)
    return target


def _materialise(a: _Assembly, tensor: str, layout: Layout) -> str:
    name = f"{tensor}@{layout}"
    if name in a.forms:
        return name
    choice = a.instance.choices[tensor]
    moves = [choice.moves[j] for j in a.decisions.moved.get(tensor, ())]
    move = min(
        (m for m in moves if m.target == layout),
        key=lambda m: sum(m.busy_ns.values()),
    )
    _move(a, move, None)
    return name


def _move(a: _Assembly, move: Move, target: str | None) -> None:
    reads: tuple[Use, ...] = ()
    if move.source is not None:
        reads = (Use(slot="src", form=_materialise(a, move.tensor, move.source)),)
    elif move.tensor not in a.instance.generated:
        reads = (Use(slot="src", form=a.form(move.tensor, None)),)
    form = target or a.form(move.tensor, move.target)
    kind = type(move.spec).__name__.lower()
    a.ahead(
        Step(
            name=f"{kind}.{form}",
            group=0,
            spec=move.spec,
            reads=reads,
            writes=(Use(slot="dst", form=form),),
            busy_ns=move.busy_ns,
            sbuf_bytes=move.sbuf_bytes,
            psum_banks=move.psum_banks,
            path=path_of(move),
        )
    )
