"""Rows of forms: when they are there, and who waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nkigen_cp.solver.candidates import Move
from nkigen_cp.solver.choices import Choice, path_of
from nkigen_cp.solver.homes import Path, copies_of
from nkigen_cp.solver.plan.layout import Layout
from nkigen_cp.solver.timing.facts import Facts, visits
from nkigen_cp.solver.timing.steps import Level
from nkigen_cp.solver.timing.values import (
    COMPUTE,
    WHOLE,
    Literal,
    Node,
    Periods,
    Row,
    absent,
    any_of,
    duration_ns,
    held,
    moved,
    visiting,
)


@dataclass(frozen=True, slots=True)
class _Source:
    """When a form is there, what remains of the loops around its writer, if that is who wrote."""

    node: Node
    left: Periods
    when: tuple[Literal, ...]


@dataclass(slots=True)
class Forms:
    """The forms of one tensor, in one iteration of a loop or in the whole.

    ``writers`` are candidates that write the tensor, by the op they end with; ``given`` says that
    it needs none.
    """

    level: Level
    choice: Choice
    facts: Facts = field(init=False)
    name: str = field(init=False)
    given: bool = field(init=False)
    writers: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.facts, self.name = self.level.facts, self.choice.tensor.name
        self.given = self.choice.in_hbm or self.name in self.facts.instance.generated
        self.writers = {}
        for indices in self.choice.makers.values():
            for k in indices:
                root = self.facts.instance.candidates[k].ops[-1]
                if self.level.inside(self.facts.instance.path(root)):
                    listed = self.writers.setdefault(root, [])
                    if k not in listed:
                        listed.append(k)

    def rows(self) -> Iterator[Row]:
        """Forms are there once written or moved; readers, and loads of the next content, wait."""
        yield from self._written()
        for j, move in enumerate(self.choice.moves):
            if self.level.inside(path_of(move)):
                yield from self._moved(j, move)
        yield from self._reads()
        yield from self._visits()
        yield from self._spilled()

    def _at(self, form: Layout | None, path: Path) -> Node:
        """When a form is there, as written by a step inside the loops ``path``."""
        return self.level.node("form", self.name, str(form), *path)

    def _direct(self, indices: Sequence[int]) -> list[int]:
        """Candidates that write the tensor into HBM."""
        makes = {k: self.facts.instance.candidates[k].makes for k in indices}
        into = (self.name, None)
        return [k for k in indices if any((m.tensor, m.layout) == into for m in makes[k])]

    def _sources(self, form: Layout | None, reader: Path) -> list[_Source]:
        """What may have written the form, within this level, to someone inside ``reader``."""
        paths = self.facts.instance.path
        found: list[tuple[Path, tuple[Literal, ...]]] = []
        if form is None:
            found += [(paths(r), ()) for r, ks in self.writers.items() if self._direct(ks)]
            found += [(x.home, (held("spilled", self.name, x),)) for x in self.choice.spills]
        else:
            made = any(form in forms for forms in self.choice.made.values())
            found += [(paths(r), ()) for r in self.writers if made]
            for j in self.choice.arrivals.get(form, ()):
                found.append((path_of(self.choice.moves[j]), (moved(self.name, j),)))
        sources: dict[_Source, None] = {}
        for path, when in found:
            if self.level.inside(path):
                left = self.facts.leaving(path, reader)
                sources[_Source(self._at(form, path), left, when if left else ())] = None
        return list(sources)

    def _wait(
        self, target: Node, form: Layout | None, path: Path, ns: int, *when: Literal
    ) -> Iterator[Row]:
        """``target``, inside ``path``, comes ``ns`` after whatever wrote the form."""
        for source in self._sources(form, path):
            yield Row(
                target=target,
                source=source.node,
                ns=ns,
                periods=source.left,
                when=(*when, *source.when),
            )

    def _written(self) -> Iterator[Row]:
        native = dict.fromkeys(f for forms in self.choice.made.values() for f in forms)
        for root, indices in self.writers.items():
            path, end = self.facts.instance.path(root), self.level.node("end", root)
            for form in native:
                yield Row(target=self._at(form, path), source=end, when=(any_of(indices),))
            direct = self._direct(indices)
            if direct:
                yield Row(target=self._at(None, path), source=end, when=(any_of(direct),))

    def _moved(self, j: int, move: Move) -> Iterator[Row]:
        facts, path = self.facts, path_of(move)
        literal, lasts = moved(self.name, j), facts.moving(move)
        there = self._at(move.target, path)
        yield Row(target=there, terms=((lasts, literal),))
        if move.source is not None or not self.given:
            yield from self._wait(there, move.source, path, facts.handoff + lasts, literal)
        for root in self.writers if len(self.writers) == 1 else ():
            # Follows; told directly it helps the solver's relaxation.
            yield Row(
                target=there,
                source=self.level.node("end", root),
                terms=((facts.handoff + lasts, literal),),
                periods=facts.leaving(facts.instance.path(root), path),
                when=(any_of(self.writers[root]),),
            )
        if self.level.level != WHOLE:
            yield from self._spans(move, literal, there, lasts)
            if move.source is None and self.given:
                yield from self._turns(move, literal, there, lasts)

    def _spans(self, move: Move, literal: Literal, there: Node, lasts: int) -> Iterator[Row]:
        """A move lies between the first and the last use of its engines, too."""
        busy, path = self.facts.move(move), path_of(move)
        left = self.facts.leaving(path, path[: path.index(self.level.level) + 1])
        for engine in (e for e in COMPUTE if busy.get(e)):
            early = engine == "tensor" or "tensor" not in busy
            lead = lasts if early else busy[engine]
            first, last = self.level.node("first", engine), self.level.node("last", engine)
            done = busy[engine] - lead
            yield Row(target=there, source=first, ns=lead, when=(literal,))
            yield Row(target=last, source=there, ns=done, periods=left, when=(literal,))
            yield Row(target=first, source=last, periods=((-1, self.level.level),))

    def _turns(self, move: Move, literal: Literal, there: Node, lasts: int) -> Iterator[Row]:
        """A load of this iteration waits for the readers of the buffer's previous content."""
        home, instance = move.target.home, self.facts.instance
        if not home or home[-1] != self.level.level:
            return
        again = (-copies_of(instance.program, home), self.level.level)
        for root, when in self._readings(move.target):
            yield Row(
                target=there,
                source=self.level.node("end", root),
                ns=self.facts.handoff + lasts,
                periods=(*self.facts.leaving(instance.path(root), home), again),
                when=(literal, *when),
            )

    def _readings(self, form: Layout) -> Iterator[tuple[str, tuple[Literal, ...]]]:
        """Ops that may read the form, and what must hold for it: it is kept and none nearer is."""
        alone = visits(self.facts.instance, self.choice)
        for (x, root), indices in self.choice.readers.items():
            forms = self.choice.served.get((x, root), ())
            if form not in forms:
                continue
            near = [f for f in forms if len(f.home) > len(form.home)]
            when = [any_of(indices), *(absent(held("kept", self.name, f)) for f in near)]
            if len(forms) > 1:
                when.append(held("kept", self.name, form))
            if (form, root) in alone:
                when.append(absent(visiting(self.name, form, root)))
            yield root, tuple(when)

    def _reads(self) -> Iterator[Row]:
        instance, handoff = self.facts.instance, self.facts.handoff
        for form in self.choice.layouts:
            for root, when in self._readings(form):
                path = instance.path(root)
                if self.level.inside(path):
                    start = self.level.node("start", root)
                    yield from self._wait(start, form, path, handoff, *when)
        for (x, root), indices in self.choice.readers.items():
            path = instance.path(root)
            if x is None and self.level.inside(path):
                start = self.level.node("start", root)
                yield from self._wait(start, None, path, handoff, any_of(indices))

    def _visits(self) -> Iterator[Row]:
        facts = self.facts
        for form, root in visits(facts.instance, self.choice) if self.level.level == WHOLE else ():
            literal, start = visiting(self.name, form, root), self.level.node("start", root)
            move = next(m for m in self.choice.moves if m.source is None and m.target == form)
            ns = facts.moving(move) + facts.handoff
            yield Row(target=start, ns=ns, when=(literal,))
            path = facts.instance.path(root)
            yield from self._wait(start, None, path, facts.handoff + ns, literal)

    def _spilled(self) -> Iterator[Row]:
        facts = self.facts
        for form, ns in self.choice.spills.items():
            lasts = duration_ns(facts.instance.target, facts.shared({"dma": ns}, form.home))
            for root in self.writers if self.level.inside(form.home) else ():
                yield Row(
                    target=self._at(None, form.home),
                    source=self.level.node("end", root),
                    ns=facts.handoff + lasts,
                    periods=facts.leaving(facts.instance.path(root), form.home),
                    when=(held("spilled", self.name, form),),
                )
