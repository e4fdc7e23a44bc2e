"""On-chip memory over a kernel: what is live at once, in program order.

A buffer lives from its first to its last touch. Loop bodies are taken once; a buffer that outlives
an iteration lives through the whole loop, and one allocated inside counts its ``copies``; so does
one of a pipelined loop whose tiles live from one turn into the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nkigen_cp.ir.nki.kernel import (
    Alloc,
    Buffer,
    Instruction,
    Kernel,
    Loop,
    Memory,
    Statement,
    View,
)
from nkigen_cp.ir.nki.pipeline import spreads
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Positions in program order, both included, in which a buffer holds a value."""

    buffer: Buffer
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The largest demand and the buffers that make it up, largest first."""

    amount: int
    buffers: tuple[str, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class _Lives:
    clock: int = 0
    loop_depth: dict[str, int] = field(default_factory=dict[str, int])
    buffers: dict[str, Buffer] = field(default_factory=dict[str, Buffer])
    touched: dict[str, Lifetime] = field(default_factory=dict[str, Lifetime])
    stack: list[list[str]] = field(default_factory=list[list[str]])

    def body(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            self.clock += 1
            match statement:
                case Alloc(buffer=buffer):
                    self.buffers[buffer.name] = buffer
                    self.loop_depth[buffer.name] = len(self.stack)
                case Instruction():
                    for value in statement.args.values():
                        if isinstance(value, View) and value.buffer in self.buffers:
                            self.touch(value.buffer, self.clock, self.clock)
                            if self.stack:
                                self.stack[-1].append(value.buffer)
                case Loop():
                    self.loop(statement)
                case _:
                    pass

    def loop(self, loop: Loop) -> None:
        start = self.clock
        self.stack.append([])
        self.body(loop.body)
        self.clock += 1
        for spread in spreads(loop):
            if spread.crosses and spread.buffer in self.touched:
                self.touch(spread.buffer, start, self.clock)
        for name in dict.fromkeys(self.stack.pop()):
            if self.loop_depth[name] <= len(self.stack):
                self.touch(name, start, self.clock)
                if self.stack:
                    self.stack[-1].append(name)

    def touch(self, name: str, first: int, last: int) -> None:
        held = self.touched.get(name)
        self.touched[name] = Lifetime(
            buffer=self.buffers[name],
            first=min(first, held.first) if held else first,
            last=max(last, held.last) if held else last,
        )


def lifetimes(kernel: Kernel) -> tuple[Lifetime, ...]:
    """Lifetimes of the buffers the kernel allocates and touches, in order of first touch."""
    lives = _Lives()
    lives.body(kernel.body)
    return tuple(lives.touched.values())


def peak(lives: list[tuple[Lifetime, int]]) -> Peak:
    """The largest sum of demands that are alive at one position."""
    best = Peak(amount=0, buffers=())
    for moment in sorted({life.first for life, _ in lives}):
        alive = [(n, life) for life, n in lives if life.first <= moment <= life.last]
        amount = sum(n for n, _ in alive)
        if amount > best.amount:
            largest = sorted(alive, key=lambda item: -item[0])
            best = Peak(amount=amount, buffers=tuple(life.buffer.name for _, life in largest))
    return best


def sbuf_peak(kernel: Kernel) -> Peak:
    """Most bytes per partition of SBUF in use at once."""
    return peak(
        [
            (life, life.buffer.partition_bytes * life.buffer.copies)
            for life in lifetimes(kernel)
            if life.buffer.memory is Memory.SBUF
        ]
    )


def psum_peak(kernel: Kernel, target: Target) -> Peak:
    """Most PSUM banks in use at once; a buffer takes whole banks."""
    return peak(
        [
            (life, -(-life.buffer.partition_bytes // target.psum_bank_bytes) * life.buffer.copies)
            for life in lifetimes(kernel)
            if life.buffer.memory is Memory.PSUM
        ]
    )


def sbuf(kernel: Kernel, target: Target) -> str | None:
    """Live SBUF bytes per partition fit."""
    used, limit = sbuf_peak(kernel), target.sbuf_partition_bytes
    if used.amount <= limit:
        return None
    return (
        f"needs {used.amount} bytes of SBUF per partition at once, {limit} are there; "
        f"the largest buffers are {', '.join(used.buffers[:5])}"
    )


def psum(kernel: Kernel, target: Target) -> str | None:
    """Live PSUM banks fit."""
    used, limit = psum_peak(kernel, target), target.psum_banks
    if used.amount <= limit:
        return None
    return (
        f"needs {used.amount} PSUM banks at once, {limit} are there; "
        f"the buffers are {', '.join(used.buffers)}"
    )
