"""Pipelined loops: which tile a statement touches, and whether delays keep the loop's meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nkigen_cp.ir.nki.kernel import Alloc, Instruction, Kernel, Loop, Statement, View, walk
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.targets.target import Target


def turns(loop: Loop, lower: int, upper: int) -> Iterator[list[tuple[int, int]]]:
    """Per turn of a loop with these bounds: (statement, value of the variable) in order."""
    if not loop.delays:
        every = range(len(loop.body))
        yield from ([(k, value) for k in every] for value in range(lower, upper))
        return
    for turn in range(lower, upper + loop.depth if upper > lower else lower):
        at = [(k, turn - delay) for k, delay in enumerate(loop.delays)]
        yield [(k, value) for k, value in at if lower <= value < upper]


def owners(body: tuple[Statement, ...]) -> dict[str, str]:
    """Buffers with a tile per value of a loop variable, and that variable."""
    return {
        s.buffer.name: loop.var
        for loop in walk(body)
        if isinstance(loop, Loop) and loop.delays
        for s in loop.body
        if isinstance(s, Alloc)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A buffer of a pipelined loop's body and the delays from its allocation to its last use."""

    buffer: str
    first: int
    last: int

    @property
    def crosses(self) -> bool:
        """Whether its tiles of neighbouring iterations are alive together in program order."""
        return self.last > self.first


def spreads(loop: Loop) -> list[Spread]:
    """One per buffer that the body of a pipelined loop allocates."""
    found: dict[str, Spread] = {}
    for statement, delay in zip(loop.body, loop.delays, strict=False):
        if isinstance(statement, Alloc):
            name = statement.buffer.name
            found[name] = Spread(buffer=name, first=delay, last=delay)
        for name in touched(statement):
            if name in found:
                first, last = found[name].first, found[name].last
                found[name] = Spread(buffer=name, first=first, last=max(last, delay))
    return list(found.values())


@dataclass(slots=True, kw_only=True, eq=False)
class Touch:
    """What a statement does to a buffer."""

    reads: bool = False
    writes: bool = False


def touched(statement: Statement) -> dict[str, Touch]:
    """Buffers of a statement, loops inside included, each once."""
    found: dict[str, Touch] = {}
    for s in walk((statement,)):
        if not isinstance(s, Instruction):
            continue
        for parameter in INSTRUCTIONS[s.kind].parameters:
            view = s.args.get(parameter.name)
            if isinstance(view, View):
                touch = found.setdefault(view.buffer, Touch())
                touch.reads |= parameter.role.reads
                touch.writes |= parameter.role.writes
    return found


@dataclass(slots=True, kw_only=True, eq=False)
class _Uses:
    """Delays with which a loop's statements have read and written one buffer so far."""

    read: list[int] = field(default_factory=list[int])
    written: list[int] = field(default_factory=list[int])

    def note(self, touch: Touch, delay: int) -> None:
        self.read += [delay] if touch.reads else []
        self.written += [delay] if touch.writes else []

    @property
    def between(self) -> list[int]:
        """The delays of a buffer that is read as well as written."""
        return sorted({*self.read, *self.written}) if self.read and self.written else []


def pipelines(kernel: Kernel, _: Target) -> str | None:
    """Delays keep every use of a buffer behind the writes it depends on, and copies suffice."""
    for loop in walk(kernel.body):
        problem = _loop(kernel, loop) if isinstance(loop, Loop) and loop.delays else None
        if problem:
            return problem
    return None


def _loop(kernel: Kernel, loop: Loop) -> str | None:
    where = f"in pipelined loop {loop.var!r}"
    if len(loop.delays) != len(loop.body) or min(loop.delays) < 0:
        return f"has delays {loop.delays} for {len(loop.body)} statements {where}"
    own = {s.buffer.name for s in loop.body if isinstance(s, Alloc)}
    uses: dict[str, _Uses] = {}
    for statement, delay in zip(loop.body, loop.delays, strict=True):
        for name, touch in touched(statement).items():
            seen = uses.setdefault(name, _Uses())
            early = max([0, *seen.written, *(seen.read if touch.writes else ())])
            if name in own and delay < early:
                return (
                    f"touches buffer {name!r} with delay {delay} after delay {early} {where}; "
                    "later uses need at least the delay of earlier ones"
                )
            seen.note(touch, delay)
    for name, seen in uses.items():
        if name not in own and len(seen.between) > 1:
            return (
                f"reads and writes {name!r}, a buffer from outside, with delays {seen.between} "
                f"{where}; what iterations leave to each other needs one delay"
            )
    for spread in spreads(loop):
        copies, needed = kernel.buffers[spread.buffer].copies, spread.last - spread.first + 1
        if copies < needed:
            return f"has {copies} copies of buffer {spread.buffer!r} {where}; {needed} are alive"
    return None
