"""What decides whether a loop can run on the device: one walk over a kernel, a record per loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nkigen_cp.emit.device import Choice, Condition, parts
from nkigen_cp.emit.registers import Move, common_scale, stride_of, variables
from nkigen_cp.emit.views import element_offset
from nkigen_cp.ir.nki.kernel import Affine, Alloc, Buffer, Instruction, Loop, Statement, View
from nkigen_cp.ir.nki.loops import value_range
from nkigen_cp.ir.nki.table import INSTRUCTIONS


@dataclass(slots=True, kw_only=True, eq=False)
class Nest:
    """Facts of one loop.

    ``executed`` counts its iterations over the whole kernel, ``chip_moves`` the accesses on chip
    that move with it, both at most. ``moves`` are the views that move with it, ``beside`` the loops
    that one of them moves with as well; ``carried`` are on-chip buffers from outside that it
    writes; ``copies`` is the deepest multi-buffering of what it allocates; ``troubles`` say why it
    can be no device loop.
    """

    loop: Loop
    outer: tuple[Loop, ...]
    executed: int
    moves: list[Move] = field(default_factory=list[Move])
    chip_moves: int = 0
    beside: dict[str, str] = field(default_factory=dict[str, str])
    carried: dict[str, None] = field(default_factory=dict[str, None])
    conditions: list[Condition] = field(default_factory=list[Condition])
    copies: int = 1
    troubles: list[str] = field(default_factory=list[str])

    def choice(self) -> Choice | str:
        """How to run it on the device, or why it cannot."""
        loop = self.loop
        trips = loop.upper + loop.lower * -1
        if self.troubles:
            return self.troubles[0]
        if loop.lower.terms or loop.upper.terms:
            if self.conditions:
                return "its bounds and an accumulate condition depend on loops"
            if value_range(trips, self.outer).low < 1:
                return "it may have no iteration"
        scale = common_scale(self.moves)
        if scale is None:
            return "no common register serves the strides of its views"
        choice = Choice(scale=scale, unroll=self.copies, conditions=tuple(self.conditions))
        if not any(p.on_device for p in parts(loop, choice, self.outer)):
            return f"it has {trips.const} iterations and too few of them are alike"
        return choice


@dataclass(slots=True, kw_only=True, eq=False)
class _Survey:
    buffers: Mapping[str, Buffer]
    nests: dict[str, Nest] = field(default_factory=dict[str, Nest])
    allocated: dict[str, int] = field(default_factory=dict[str, int])

    def body(self, body: tuple[Statement, ...], outer: tuple[Loop, ...]) -> None:
        for statement in body:
            if isinstance(statement, Loop):
                self.loop(statement, outer)
            elif isinstance(statement, Alloc):
                self.allocated[statement.buffer.name] = len(outer)
                if outer:
                    nest = self.nests[outer[-1].var]
                    nest.copies = max(nest.copies, statement.buffer.copies)
            elif isinstance(statement, Instruction):
                self.instruction(statement, outer)

    def loop(self, loop: Loop, outer: tuple[Loop, ...]) -> None:
        for term in (*loop.lower.terms, *loop.upper.terms):
            if term.var in self.nests:
                self.nests[term.var].troubles.append(f"the trips of loop {loop.var!r} depend on it")
        known = self.nests.get(loop.var)
        trips = max(0, value_range(loop.upper + loop.lower * -1, outer).high)
        times = self.nests[outer[-1].var].executed if outer else 1
        self.nests[loop.var] = Nest(loop=loop, outer=outer, executed=times * trips)
        if known:
            self.nests[loop.var].troubles.append("its variable is that of another loop, too")
        self.body(loop.body, (*outer, loop))

    def instruction(self, instruction: Instruction, loops: tuple[Loop, ...]) -> None:
        row = INSTRUCTIONS.get(instruction.kind)
        for parameter in row.parameters if row else ():
            operand = instruction.args.get(parameter.name)
            if isinstance(operand, View):
                if row and row.addressed and parameter.name in ("index", row.addressed):
                    self.addressed(operand, loops)
                self.view(operand, loops)
                if parameter.role.writes:
                    self.write(operand.buffer, loops)
            elif isinstance(operand, Affine):
                self.affine(instruction, parameter.name, operand, loops)

    def affine(
        self, instruction: Instruction, name: str, value: Affine, loops: tuple[Loop, ...]
    ) -> None:
        for term in (Affine() + value).terms:
            depth, nest = self.within(term.var, loops)
            if nest is None:
                continue
            if name == "accumulate":
                nest.conditions.append(Condition(value=value, inner=loops[depth + 1 :]))
            else:
                nest.troubles.append(f"{name} of a {instruction.kind} depends on it")

    def view(self, view: View, loops: tuple[Loop, ...]) -> None:
        buffer = self.buffers.get(view.buffer)
        if buffer is None:
            return
        offset = element_offset(view)
        moving = variables(view)
        for var in moving:
            _, nest = self.within(var, loops)
            if nest is None:
                continue
            elements = stride_of(offset, var)
            if buffer.memory.on_chip:
                if stride_of(view.index[0].start, var):
                    nest.troubles.append(f"partitions of {buffer.name!r} depend on it")
                nest.chip_moves += self.nests[loops[-1].var].executed
            if elements < 1:
                nest.troubles.append(f"a view of {buffer.name!r} moves backwards")
            else:
                move = Move(buffer=buffer, shape=view.shape, elements=elements)
                nest.moves.append(move)
            nest.beside.update((v, buffer.name) for v in moving if v != var)

    def addressed(self, view: View, loops: tuple[Loop, ...]) -> None:
        """A view that data addresses, or the index that does."""
        for var in variables(view):
            _, nest = self.within(var, loops)
            if nest is not None:
                nest.troubles.append(f"data and the loop address {view.buffer!r}: two registers")

    def write(self, name: str, loops: tuple[Loop, ...]) -> None:
        buffer = self.buffers.get(name)
        if buffer and buffer.memory.on_chip:
            for loop in loops[self.allocated.get(name, 0) :]:
                self.nests[loop.var].carried[name] = None

    def within(self, var: str, loops: tuple[Loop, ...]) -> tuple[int, Nest | None]:
        for depth, loop in enumerate(loops):
            if loop.var == var:
                return depth, self.nests[var]
        return -1, None


def survey(body: tuple[Statement, ...], buffers: Mapping[str, Buffer]) -> dict[str, Nest]:
    """The kernel's loops by variable, outer ones before inner ones."""
    found = _Survey(buffers=buffers)
    found.body(body, ())
    return found.nests


def nested(nest: Nest, others: Mapping[str, Nest]) -> Iterator[Nest]:
    """Those of ``others`` that lie around ``nest`` or inside it."""
    around = [loop.var for loop in nest.outer]
    for var, other in others.items():
        if var in around or any(loop.var == nest.loop.var for loop in other.outer):
            yield other
