"""What names mean in the emitted source: identifiers, reshaped aliases, the function's border."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.emit.device import DeviceLoop
from nkigen_cp.emit.expressions import affine, positive_condition
from nkigen_cp.emit.names import RESERVED, Names, identifier
from nkigen_cp.emit.picking import picked_base, spell_picked
from nkigen_cp.emit.registers import (
    Register,
    moving_base,
    register_of,
    resolved,
    spell_ap,
    turn,
    turn_name,
)
from nkigen_cp.emit.views import ViewText, element_offset, pattern, spell_view
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import (
    Affine,
    Buffer,
    Instruction,
    Kernel,
    Loop,
    LoopTerm,
    Memory,
    Statement,
    View,
    walk,
)
from nkigen_cp.ir.nki.loops import value_range
from nkigen_cp.ir.nki.pipeline import spreads
from nkigen_cp.ir.nki.table import INSTRUCTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Identifiers of one kernel's function, and the loops around the place that is written.

    ``parameters`` and ``results`` are buffer names in order; ``names`` and ``loop_vars`` map IR
    names to identifiers; ``aliases`` names buffers in the shapes that views index. ``bodies`` and
    ``register_names`` are the functions of device loops and their parameters, by label.
    ``registers`` hold the variables of the device loops among ``loops``. Names of buffers in
    ``tiles`` are lists with a tile per iteration of a loop.
    """

    function: str
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    buffers: Mapping[str, Buffer]
    names: Mapping[str, str]
    aliases: Mapping[tuple[str, tuple[int, ...]], str]
    loop_vars: Mapping[str, str]
    bodies: Mapping[str, str]
    register_names: Mapping[str, str]
    tiles: Mapping[str, Affine] = field(default_factory=dict[str, Affine])
    loops: tuple[Loop, ...] = ()
    registers: Mapping[str, Register] = field(default_factory=dict[str, Register])

    def inside(self, loop: Loop) -> Scope:
        """The scope of the loop's body."""
        registers = self.registers
        if isinstance(loop, DeviceLoop):
            base = loop.lower + (turn(loop.label) if loop.unroll > 1 else 0)
            name = self.register_names[loop.label]
            registers = {**registers, loop.var: Register(name=name, scale=loop.scale, base=base)}
        return replace(self, loops=(*self.loops, loop), registers=registers)

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name, or KernelError."""
        if name not in self.buffers:
            raise KernelError(f"buffer {name!r} is used but is not one of the kernel's buffers")
        return self.buffers[name]

    def base(self, name: str) -> str:
        """The buffer itself, or the tile of it that is meant."""
        own = self.names[name]
        return f"{own}[{self.index(self.tiles[name])}]" if name in self.tiles else own

    def view(self, view: View) -> ViewText:
        """The view over the buffer, or over its alias in the view's shape."""
        buffer, own = self.buffer(view.buffer), self.base(view.buffer)
        var = register_of(view, self.registers)
        if var is None:
            base = self.aliases.get((view.buffer, view.shape), own)
            return spell_view(view, buffer, base, self.loop_vars)
        found = moving_base(view, buffer, var, self.registers[var])
        name = self.aliases.get((view.buffer, found.shape), own)
        text = spell_ap(view, buffer, name, found.dim, self.registers, self.loop_vars)
        return ViewText(text=text, rank=len(pattern(view, buffer)))

    def picked(self, view: View, index: View) -> str:
        """The view at the positions along its first dim that the index holds."""
        found = picked_base(view, self.buffer(view.buffer), index)
        name = self.aliases.get((view.buffer, found.shape), self.base(view.buffer))
        offset = self.index(element_offset(view))
        return spell_picked(view, index, found, (name, offset, self.view(index).text))

    def index(self, value: Affine | int) -> str:
        """An integer known at compile time."""
        return affine(resolved(Affine() + value, self.registers), self.loop_vars)

    def positive(self, value: Affine) -> str:
        """Whether the integer is above zero; the same in all iterations of a device loop."""
        if not any(t.var in self.registers for t in value.terms):
            return positive_condition(value, self.loop_vars)
        return str(value_range(value, self.loops).low > 0)


def build_scope(kernel: Kernel, body: tuple[Statement, ...] | None = None) -> Scope:
    """Identifiers for everything in the kernel; what crosses its border gets its name first.

    ``body`` is the kernel's with its device loops chosen.

    Raises:
        KernelError: an input or output has no buffer.
    """
    parameters = (*kernel.inputs, *kernel.bound_inputs)
    border = (*parameters, *kernel.outputs, *kernel.mutated_outputs)
    missing = [name for name in border if name not in kernel.buffers]
    if missing:
        raise KernelError(
            f"kernel {kernel.name!r} lists {missing[0]!r} as an input or output, "
            "but has no buffer of that name"
        )
    function = identifier(kernel.name)
    fresh = Names((*RESERVED, function))
    names = {name: fresh.fresh(name) for name in dict.fromkeys((*border, *kernel.buffers))}
    body = kernel.body if body is None else body
    loops = [s for s in walk(body) if isinstance(s, Loop)]
    loop_vars = {var: fresh.fresh(var) for var in dict.fromkeys(s.var for s in loops)}
    labels = [(s.label, loop_vars[s.var]) for s in loops if isinstance(s, DeviceLoop)]
    scope = Scope(
        function=function,
        parameters=parameters,
        results=_results(kernel),
        buffers=kernel.buffers,
        names=names,
        aliases={},
        loop_vars=loop_vars,
        tiles=dict(_tiles(loops)),
        bodies={label: "" for label, _ in labels},
        register_names={label: "" for label, _ in labels},
    )
    reshaped = dict.fromkeys(_reshaped(body, scope))
    return replace(
        scope,
        aliases={key: fresh.fresh(f"{names[key[0]]}_v") for key in reshaped},
        bodies={label: fresh.fresh(f"each_{var}") for label, var in labels},
        register_names={label: fresh.fresh(f"{var}_r") for label, var in labels},
        loop_vars={
            **loop_vars,
            **{turn_name(n): fresh.fresh(f"{v}_t") for n, v in labels},
            **{turn_name(s.var): fresh.fresh(f"{loop_vars[s.var]}_t") for s in loops if s.depth},
        },
    )


def _tiles(loops: Sequence[Loop]) -> Iterator[tuple[str, Affine]]:
    """Buffers whose tiles live into the next turn of a pipelined loop, and which one is meant."""
    for loop in loops:
        for spread in spreads(loop):
            if spread.crosses:
                turn = Affine(terms=(LoopTerm(var=loop.var, stride=1),))
                yield spread.buffer, turn + loop.lower * -1


def _results(kernel: Kernel) -> tuple[str, ...]:
    """Outputs, then new values of mutated inputs; an input updated in place is not returned."""
    mutated = (
        name
        for name in kernel.mutated_outputs
        if name not in kernel.outputs and kernel.buffers[name].memory is Memory.OUTPUT
    )
    return (*kernel.outputs, *mutated)


def _reshaped(body: tuple[Statement, ...], scope: Scope) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Buffers that a view indexes in another shape than their own, with that shape."""
    for statement in body:
        if isinstance(statement, Loop):
            yield from _reshaped(statement.body, scope.inside(statement))
        for name, view in statement.args.items() if isinstance(statement, Instruction) else ():
            buffer = scope.buffers.get(view.buffer) if isinstance(view, View) else None
            if not isinstance(view, View) or buffer is None:
                continue
            assert isinstance(statement, Instruction)
            shape = _indexed_shape(statement, name, buffer, scope)
            if shape != buffer.shape:
                yield view.buffer, shape


def _indexed_shape(
    instruction: Instruction, name: str, buffer: Buffer, scope: Scope
) -> tuple[int, ...]:
    view, index = instruction.args[name], instruction.args.get("index")
    assert isinstance(view, View)
    row = INSTRUCTIONS.get(instruction.kind)
    if row is not None and row.addressed == name and isinstance(index, View):
        return picked_base(view, buffer, index).shape
    var = register_of(view, scope.registers)
    if var is not None:
        return moving_base(view, buffer, var, scope.registers[var]).shape
    # A view on chip may only index the buffer's own shape, which is checked when it is written.
    return buffer.shape if buffer.memory.on_chip else view.shape
