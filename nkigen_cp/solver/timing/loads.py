"""Rows of loads: what arrives in which order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import FactorOp
from nkigen_cp.solver.homes import Path
from nkigen_cp.solver.plan import Contract
from nkigen_cp.solver.timing.facts import Facts, visits
from nkigen_cp.solver.timing.values import (
    WHOLE,
    Literal,
    Node,
    Row,
    chosen,
    moved,
    visiting,
)
from nkigen_cp.solver.variables import load_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """A load: when it is due, its first part, and all of it that comes before what is due later.

    ``target`` comes ``wait_ns`` after the first part has arrived, if ``when``.
    """

    due: tuple[int, int, int]
    literal: Literal
    first_ns: int
    ns: int
    target: Node
    wait_ns: int
    when: tuple[Literal, ...]


def load_rows(facts: Facts) -> Iterator[Row]:
    """What is loaded arrives one after the other, in the order in which the program needs it.

    Loads go ahead of the loops that they are outside of. Of what a loop loads in every iteration,
    only the first part delays others.
    """
    before: Node | None = None
    found = (*_inputs(facts), *_visits(facts), *_streams(facts))
    for due, group in itertools.groupby(sorted(found, key=lambda a: a.due), key=lambda a: a.due):
        items = list(group)
        first, whole = ((WHOLE, kind, *map(str, due)) for kind in ("arriving", "arrived"))
        terms = tuple((a.first_ns, a.literal) for a in items)
        yield Row(target=first, source=before, terms=terms)
        yield Row(target=whole, source=before, terms=tuple((a.ns, a.literal) for a in items))
        for a in items:
            yield Row(target=a.target, source=first, ns=a.wait_ns, when=a.when)
        before = whole


def _inputs(facts: Facts) -> Iterator[_Arrival]:
    instance = facts.instance
    ops = list(instance.program.ops.values())
    starts = {path: k for k in reversed(range(len(ops))) for path in _prefixes(ops[k].path)}
    ranks = {op.name: k for k, op in enumerate(ops)}

    def ahead(op: FactorOp, home: Path) -> int:
        depth = len(common_path(op.path, home))
        return starts[op.path[: depth + 1]] if len(op.path) > depth else ranks[op.name]

    for number, name in enumerate(instance.program.tensors):
        choice = instance.choices.get(name)
        if choice is None or not choice.in_hbm:
            continue
        readers = instance.program.consumers(name)
        for j, move in enumerate(choice.moves):
            if move.source is not None:
                continue
            home, literal, once = move.target.home, moved(name, j), facts.move(move)["dma"]
            place = min((ahead(o, home) for o in readers), default=len(ops))
            repeats = any(set(home) & set(o.path) for o in readers)
            yield _Arrival(
                due=(place, len(home), number),
                literal=literal,
                first_ns=once,
                ns=once if repeats else move.busy_ns["dma"],
                target=(WHOLE, "form", name, str(move.target), *home),
                wait_ns=facts.latency,
                # Every whole form of an input waits for its load; told so it helps the relaxation.
                when=(literal,) if home else (),
            )


def _prefixes(path: Path) -> list[Path]:
    return [path[: k + 1] for k in range(len(path))]


def _visits(facts: Facts) -> Iterator[_Arrival]:
    instance = facts.instance
    ranks = {op: k for k, op in enumerate(instance.program.ops)}
    for number, name in enumerate(instance.program.tensors):
        choice = instance.choices.get(name)
        if choice is None:
            continue
        for form, op in visits(instance, choice):
            literal, ns = visiting(name, form, op), load_ns(choice, form)
            yield _Arrival(
                due=(ranks.get(op, len(ranks)), 0, number),
                literal=literal,
                first_ns=ns,
                ns=ns,
                target=(WHOLE, "start", op),
                wait_ns=facts.latency + facts.handoff,
                when=(literal,),
            )


def _streams(facts: Facts) -> Iterator[_Arrival]:
    instance = facts.instance
    for k, op in enumerate(instance.program.ops):
        for i in facts.rooted[op]:
            spec = instance.candidates[i].spec
            if isinstance(spec, Contract) and spec.stream is not None:
                ns = facts.once[i]["dma"]
                yield _Arrival(
                    due=(k, len(instance.path(op)), len(instance.program.tensors)),
                    literal=chosen(i),
                    first_ns=ns,
                    ns=ns,
                    target=(WHOLE, "start", op),
                    wait_ns=facts.latency - facts.lasts[i],
                    when=(chosen(i),),
                )
