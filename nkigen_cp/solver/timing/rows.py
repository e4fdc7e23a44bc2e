"""When things happen in a plan, as rows over the instance's candidates, moves and forms.

A step is atomic: it takes as long as its busiest engine, and whoever reads it waits for all of it.
Steps that compute run in order on each engine; moves come between them where they can. Transfers
wait for their latency, and loads of whole forms share the rings in the order in which the program
needs them.

A loop repeats after its period: no less than any engine is busy in one iteration, nor than from an
engine's first step there to the end of its last, because an in-order engine leaves no iteration
before it has done all of it; and a load waits for a buffer, of the several that take turns. Leaving
a loop takes its remaining iterations.
"""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.choices import path_of
from nkigen_cp.solver.instance import Instance
from nkigen_cp.solver.timing.facts import Facts, busy_terms
from nkigen_cp.solver.timing.forms import Forms
from nkigen_cp.solver.timing.loads import load_rows
from nkigen_cp.solver.timing.steps import Level
from nkigen_cp.solver.timing.values import END, WHOLE, Row, Timing, any_of, held


def timing_of(instance: Instance) -> Timing:
    """All rows of an instance."""
    moves = [m for choice in instance.choices.values() for m in choice.moves]
    paths = dict.fromkeys((*instance.spans.paths, *(path_of(m) for m in moves)))
    depth = {name: p.index(name) for p in paths for name in p}
    loops = sorted(depth, key=lambda name: -depth[name])
    facts = Facts(instance)
    levels = {name: tuple(_level(facts, name)) for name in loops}
    levels[WHOLE] = (*_level(facts, WHOLE), *load_rows(facts), *_ends(facts))
    return Timing(levels=levels, floors={n: tuple(_floors(facts, n)) for n in loops})


def _level(facts: Facts, name: str) -> Iterator[Row]:
    level = Level(facts, name)
    yield from level.rows()
    for choice in facts.instance.choices.values():
        yield from Forms(level, choice).rows()


def _floors(facts: Facts, loop: str) -> Iterator[Row]:
    for engine in ENGINES:
        terms = busy_terms(facts.instance, engine, loop)
        if terms:
            yield Row(target=(loop, "period"), terms=terms)


def _ends(facts: Facts) -> Iterator[Row]:
    instance = facts.instance
    for op in instance.order:
        left = facts.leaving(instance.path(op), ())
        when = (any_of(facts.rooted[op]),) if facts.rooted[op] else ()
        yield Row(target=END, source=(WHOLE, "end", op), periods=left, when=when)
    for name, choice in instance.choices.items():
        for x in choice.spills:
            there = (WHOLE, "form", name, str(None), *x.home)
            when = (held("spilled", name, x),)
            yield Row(target=END, source=there, periods=facts.leaving(x.home, ()), when=when)
    for engine in ENGINES:
        terms = busy_terms(instance, engine)
        if terms:
            yield Row(target=END, ns=facts.latency if engine == "dma" else 0, terms=terms)
