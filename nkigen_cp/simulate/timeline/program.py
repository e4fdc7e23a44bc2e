"""A kernel prepared for the timeline: lanes, prices and accesses worked out once per instruction.

A lane is what executes instructions in order: the four compute engines, and the DMA transfers in
two lanes, because stores wait for results while loads run ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.ir.nki.cost import instruction_cost_ns
from nkigen_cp.ir.nki.kernel import (
    Affine,
    Alloc,
    Buffer,
    Instruction,
    Kernel,
    Loop,
    Memory,
    Statement,
    View,
    walk,
)
from nkigen_cp.ir.nki.pipeline import owners, touched
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.nki.views import start_partition
from nkigen_cp.targets.target import Target

LANES = ("tensor", "vector", "scalar", "gpsimd", "load", "store")
LOAD, STORE = LANES.index("load"), LANES.index("store")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Access:
    """What an instruction touches of a buffer: per dim ``low``, and (extent, step) behind it.

    ``terms`` are (dim, loop variable, stride) added to ``low``. A single position has step 0.
    ``owner`` is the loop variable per whose value the buffer has a tile, if there is one.
    """

    buffer: str
    writes: bool
    shape: tuple[int, ...]
    low: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    terms: tuple[tuple[int, str, int], ...]
    owner: str = ""

    def lows(self, env: Mapping[str, int]) -> tuple[int, ...]:
        """First position per dim at the given loop variables."""
        if not self.terms:
            return self.low
        lows = list(self.low)
        for dim, var, stride in self.terms:
            lows[dim] += stride * env[var]
        return tuple(lows)

    def shift(self, var: str, by: int) -> tuple[int, ...]:
        """How far the access moves per dim when ``var`` grows by ``by``."""
        moved = [0] * len(self.low)
        for dim, name, stride in self.terms:
            if name == var:
                moved[dim] += stride * by
        return tuple(moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Ring time of a DMA: ``busy_ns`` on the fullest ring, from the ring of ``partition`` on.

    ``partitions`` 0 means that all rings share it equally (HBM to HBM).
    """

    partition: Affine
    partitions: int
    busy_ns: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """An instruction with its lane and the time it works there."""

    instruction: Instruction
    lane: int
    work_ns: float
    accesses: tuple[Access, ...]
    transfer: Transfer | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Statements in order; ``dying[k]`` are the block's buffers that statement k touches last.

    ``delays`` are those of the loop whose body it is.
    """

    items: tuple[Step | Buffer | Repeated, ...]
    dying: tuple[tuple[str, ...], ...]
    delays: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeated:
    """A loop. ``coupled`` lanes meet in buffers allocated inside, so none runs away from others.

    ``uneven`` says that a loop inside has bounds that depend on this loop's variable.
    ``copies`` is the deepest multi-buffering of the body's own buffers; those of loops inside go
    round within one iteration.
    """

    loop: Loop
    body: Block
    coupled: tuple[int, ...]
    uneven: bool
    copies: int


def prepare(kernel: Kernel, target: Target) -> Block:
    """The kernel's body as blocks of priced steps."""
    return _Preparation(kernel, target).block(kernel.body)


def executed(block: Block, env: Mapping[str, int]) -> int:
    """Instructions of a block, loops multiplied out; bounds taken at the first iterations."""
    total = 0
    for item in block.items:
        if isinstance(item, Step):
            total += 1
        elif isinstance(item, Repeated):
            lower = item.loop.lower.value(env)
            trips = max(0, item.loop.upper.value(env) - lower)
            total += trips * executed(item.body, {**env, item.loop.var: lower}) if trips else 0
    return total


class _Preparation:
    def __init__(self, kernel: Kernel, target: Target) -> None:
        self.kernel = kernel
        self.target = target
        self.tracked = tracked(kernel)
        self.owners = owners(kernel.body)

    def block(self, body: tuple[Statement, ...], delays: tuple[int, ...] = ()) -> Block:
        items: list[Step | Buffer | Repeated] = []
        kept: list[int] = []
        last: dict[str, int] = {}
        own: list[str] = []
        for k, statement in enumerate(body):
            match statement:
                case Alloc(buffer=buffer):
                    own.append(buffer.name)
                    items.append(buffer)
                case Loop():
                    items.append(self.loop(statement))
                case Instruction():
                    items.append(self.step(statement))
                case _:
                    continue
            kept += delays[k : k + 1]
            for name in touched(statement):
                # In a pipelined loop the latest touch is that of the largest delay.
                known = last.get(name)
                if known is None or not delays or kept[known] <= kept[-1]:
                    last[name] = len(items) - 1
        dying: list[list[str]] = [[] for _ in items]
        for name in own:
            if name in last:
                dying[last[name]].append(name)
        return Block(
            items=tuple(items),
            dying=tuple(tuple(names) for names in dying),
            delays=tuple(kept),
        )

    def loop(self, loop: Loop) -> Repeated:
        inside = list(walk(loop.body))
        fresh = [s.buffer for s in inside if isinstance(s, Alloc)]
        names = {b.name for b in fresh}
        lanes = {
            self.lane(s): None
            for s in inside
            if isinstance(s, Instruction) and any(n in names for n in touched(s))
        }
        bounds = [b for s in inside if isinstance(s, Loop) for b in (s.lower, s.upper)]
        return Repeated(
            loop=loop,
            body=self.block(loop.body, loop.delays),
            coupled=tuple(lanes),
            uneven=any(t.var == loop.var for b in bounds for t in b.terms),
            copies=max((s.buffer.copies for s in loop.body if isinstance(s, Alloc)), default=1),
        )

    def lane(self, instruction: Instruction) -> int:
        if instruction.engine != "dma":
            return LANES.index(instruction.engine)
        dst = instruction.args["dst"]
        inward = isinstance(dst, View) and self.kernel.buffers[dst.buffer].memory.on_chip
        return LOAD if inward else STORE

    def step(self, instruction: Instruction) -> Step:
        busy = instruction_cost_ns(self.target, instruction, self.kernel.buffers)
        dma = instruction.engine == "dma"
        return Step(
            instruction=instruction,
            lane=self.lane(instruction),
            work_ns=busy,
            accesses=self.accesses(instruction),
            transfer=self.transfer(instruction, busy) if dma else None,
        )

    def accesses(self, instruction: Instruction) -> tuple[Access, ...]:
        found: list[Access] = []
        for parameter in INSTRUCTIONS[instruction.kind].parameters:
            view = instruction.args.get(parameter.name)
            if isinstance(view, View) and view.buffer in self.tracked:
                owner = self.owners.get(view.buffer, "")
                found.append(_access(view, owner, writes=parameter.role.writes))
        return tuple(found)

    def transfer(self, instruction: Instruction, busy: float) -> Transfer:
        for name in ("dst", "src"):
            view = instruction.args[name]
            assert isinstance(view, View)
            buffer = self.kernel.buffers[view.buffer]
            if buffer.memory.on_chip:
                first = start_partition(view, buffer)
                return Transfer(partition=first, partitions=view.partitions, busy_ns=busy)
        return Transfer(partition=Affine(), partitions=0, busy_ns=busy)


def _access(view: View, owner: str, *, writes: bool) -> Access:
    return Access(
        buffer=view.buffer,
        owner=owner,
        writes=writes,
        shape=view.shape,
        low=tuple(i.start.const + i.lowest for i in view.index),
        spans=tuple((i.highest - i.lowest, abs(i.step) if i.size > 1 else 0) for i in view.index),
        terms=tuple((d, t.var, t.stride) for d, i in enumerate(view.index) for t in i.start.terms),
    )


def tracked(kernel: Kernel) -> dict[str, None]:
    """Buffers whose order of accesses matters: on chip, or in HBM both written and read."""
    read: dict[str, None] = {}
    written: dict[str, None] = {}
    for s in walk(kernel.body):
        if not isinstance(s, Instruction):
            continue
        for parameter in INSTRUCTIONS[s.kind].parameters:
            view = s.args.get(parameter.name)
            if isinstance(view, View):
                (written if parameter.role.writes else read)[view.buffer] = None
    return {
        n: None
        for n, b in kernel.buffers.items()
        if b.memory.on_chip or (n in read and n in written and b.memory is not Memory.INPUT)
    }
