"""Rows of steps: how long they take, and the order on each engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.timing.facts import Facts
from nkigen_cp.solver.timing.values import (
    COMPUTE,
    WHOLE,
    Node,
    Periods,
    Row,
    any_of,
    chosen,
)


@dataclass(slots=True)
class Level:
    """One iteration of the loop of this name, or the whole."""

    facts: Facts
    level: str

    def inside(self, path: Path) -> bool:
        """Whether a place is part of it."""
        return self.level == WHOLE or self.level in path

    def node(self, kind: str, *names: str) -> Node:
        """A point in its time."""
        return (self.level, kind, *names)

    def rows(self) -> Iterator[Row]:
        """Every step lasts, follows what it depends on, and has its engines to itself."""
        instance = self.facts.instance
        ops = [op for op in instance.order if self.inside(instance.path(op))]
        for op in ops:
            yield from self._step(op)
        for engine in COMPUTE:
            yield from self._in_order(ops, engine)

    def _step(self, op: str) -> Iterator[Row]:
        facts = self.facts
        start, end = self.node("start", op), self.node("end", op)
        lasting = tuple((facts.lasts[k], chosen(k)) for k in facts.rooted[op])
        yield Row(target=end, source=start, terms=lasting)
        factored = facts.instance.program.ops.get(op)
        path = facts.instance.path(op)
        waiting = tuple((facts.handoff, chosen(k)) for k in facts.rooted[op])
        for access in factored.accesses if factored else ():
            # Follows from the forms; told directly it helps the solver's relaxation.
            for writer in facts.instance.program.producers(access.tensor):
                if writer.name in facts.rooted and self.inside(writer.path):
                    yield Row(
                        target=start,
                        source=self.node("end", writer.name),
                        terms=waiting,
                        periods=facts.leaving(writer.path, path),
                    )

    def _in_order(self, ops: Sequence[str], engine: str) -> Iterator[Row]:
        """``free`` is when an engine is done with all steps up to an op."""
        facts = self.facts
        using = [op for op in ops if any(facts.once[k].get(engine) for k in facts.rooted[op])]
        for k, op in enumerate(using):
            free = self.node("free", engine, op)
            if k:
                before = self.node("free", engine, using[k - 1])
                yield Row(target=free, source=before, terms=facts.weights(op, engine))
                yield from self._needs(op, engine, before)
                yield from self._left(using[:k], op, engine, free)
            yield from self._done(op, engine, free, ())
            if self.level != WHOLE:
                yield from self._needs(op, engine, self.node("first", engine))
                path = facts.instance.path(op)
                left = facts.leaving(path, path[: path.index(self.level) + 1])
                yield from self._done(op, engine, self.node("last", engine), left)
        if self.level != WHOLE:
            first, last = self.node("first", engine), self.node("last", engine)
            yield Row(target=first, source=last, periods=((-1, self.level),))

    def _left(self, before: Sequence[str], op: str, engine: str, free: Node) -> Iterator[Row]:
        """Loops that ended before the op took all their iterations."""
        ended = self.node("ended", engine, op)
        paths = self.facts.instance.path
        for other in before:
            left = self.facts.leaving(paths(other), paths(op))
            if left:
                yield from self._done(other, engine, ended, left)
                yield from self._needs(op, engine, ended)
                yield Row(target=free, source=ended)

    def _needs(self, op: str, engine: str, source: Node) -> Iterator[Row]:
        """The step's use of the engine begins after ``source``."""
        early, late = self._uses(op, engine)
        start = self.node("start", op)
        if early:
            yield Row(target=start, source=source, when=(any_of(early),))
        if late:
            facts = self.facts
            terms = tuple((facts.once[k][engine] - facts.lasts[k], chosen(k)) for k in late)
            yield Row(target=start, source=source, terms=terms, when=(any_of(late),))

    def _done(self, op: str, engine: str, target: Node, left: Periods) -> Iterator[Row]:
        """``target`` comes after the step's use of the engine."""
        early, late = self._uses(op, engine)
        if early:
            terms = tuple((self.facts.once[k][engine], chosen(k)) for k in early)
            yield Row(
                target=target,
                source=self.node("start", op),
                terms=terms,
                periods=left,
                when=(any_of(early),),
            )
        if late:
            end = self.node("end", op)
            yield Row(target=target, source=end, periods=left, when=(any_of(late),))

    def _uses(self, op: str, engine: str) -> tuple[list[int], list[int]]:
        """Candidates that use it from their start, and those that use it until their end.

        The latter are what empties PSUM behind the Tensor engine.
        """
        facts = self.facts
        using = [k for k in facts.rooted[op] if facts.once[k].get(engine)]
        late = [k for k in using if engine != "tensor" and "tensor" in facts.once[k]]
        early = [k for k in using if k not in late]
        return early, late
