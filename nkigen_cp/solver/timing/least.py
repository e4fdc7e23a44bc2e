"""The least solution of a plan's rows: longest paths, and greatest cycle means for periods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nkigen_cp.solver.timing.values import END, WHOLE, Literal, Node, Row, Timing

Value = Callable[[Literal], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Nanoseconds of every node, and the period of every loop."""

    nodes: Mapping[Node, int]
    periods: Mapping[str, int]

    @property
    def end(self) -> int:
        return self.nodes[END]


@dataclass(frozen=True, slots=True)
class _Edge:
    """``target >= source + ns - turns * period``; the period is that of the level."""

    target: Node
    source: Node | None
    ns: int
    turns: int


def times_of(timing: Timing, value: Value) -> Times:
    """The earliest times that satisfy all rows; ``value`` tells which literals hold."""
    nodes: dict[Node, int] = {}
    periods: dict[str, int] = {}
    for level, rows in timing.levels.items():
        period = 0
        if level != WHOLE:
            floors = (_weight(row, value) for row in timing.floors[level])
            period = max((1, *floors))
        edges = _edges(level, rows, value, periods)
        found = _longest(edges, period)
        while isinstance(found, int):
            period = found
            found = _longest(edges, period)
        if level != WHOLE:
            periods[level] = period
        nodes |= found
    return Times(nodes=nodes, periods=periods)


def _weight(row: Row, value: Value) -> int:
    return row.ns + sum(ns for ns, literal in row.terms if value(literal))


def _edges(
    level: str, rows: Iterable[Row], value: Value, periods: Mapping[str, int]
) -> list[_Edge]:
    found: list[_Edge] = []
    for row in rows:
        if all(value(x) for x in row.when):
            outer = [(k, name) for k, name in row.periods if name != level]
            ns = _weight(row, value) + sum(k * periods[name] for k, name in outer)
            turns = -sum(k for k, name in row.periods if name == level)
            found.append(_Edge(row.target, row.source, ns, turns))
    return found


def _longest(edges: list[_Edge], period: int) -> dict[Node, int] | int:
    """Times at this period, or a longer period that some cycle demands."""
    times: dict[Node, int] = {}
    for edge in edges:
        times[edge.target] = 0
        if edge.source is not None:
            times[edge.source] = 0
    into: dict[Node, _Edge] = {}
    changed = True
    passes = 0
    while changed:
        changed = False
        passes += 1
        for edge in edges:
            since = 0 if edge.source is None else times[edge.source]
            time = since + edge.ns - edge.turns * period
            if time > times[edge.target]:
                times[edge.target] = time
                into[edge.target] = edge
                changed = True
        if changed and passes % 4 == 0:
            longer = _demanded(into)
            if longer is not None:
                return longer
    return times


def _demanded(into: Mapping[Node, _Edge]) -> int | None:
    """The period at which the cycle among the latest reasons, if any, has no length left."""
    state: dict[Node, int] = {}
    for number, begin in enumerate(into):
        node: Node | None = begin
        while node is not None and node in into and node not in state:
            state[node] = number
            node = into[node].source
        if node is not None and node in into and state[node] == number:
            ns = turns = 0
            at = node
            while True:
                edge = into[at]
                ns, turns = ns + edge.ns, turns + edge.turns
                assert edge.source is not None
                at = edge.source
                if at == node:
                    return -(-ns // turns)
    return None
