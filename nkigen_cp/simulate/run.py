"""The functional simulator: executes a kernel's NKI IR on numpy, instruction by instruction.

Sequential, in program order and without time. Arithmetic is float32 rounded once to the stored
dtype; reading memory that was never written is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nkigen_cp.errors import ArgumentError, SimulationError
from nkigen_cp.ir.nki import activations, capacity
from nkigen_cp.ir.nki.kernel import (
    Affine,
    Alloc,
    Buffer,
    Instruction,
    Kernel,
    Loop,
    Memory,
    Note,
    Operand,
    Statement,
    View,
)
from nkigen_cp.ir.nki.meaning import activation_input
from nkigen_cp.ir.nki.numeric import Array
from nkigen_cp.ir.nki.pipeline import owners, turns
from nkigen_cp.ir.nki.table import INSTRUCTIONS, InstructionRow, Parameter, Role
from nkigen_cp.simulate.memory import Storage
from nkigen_cp.simulate.seat import Seat, alone
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """What a buffer of a watched tensor held last.

    ``note`` says which axis lies where; ``value`` has the buffer's own shape and dtype.
    """

    tensor: str
    buffer: str
    note: str
    value: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Result of a simulation.

    ``outputs`` are in kernel order, the mutated outputs behind them; ``watched`` is in the order of
    last writes; ``warnings`` tell of inputs outside an activation's valid range.
    """

    outputs: tuple[Array, ...]
    watched: tuple[Watched, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True, eq=False)
class _Machine:
    """State of one run: memory by buffer and tile, registers by engine, loop variables.

    ``owners`` are the loops per whose iteration a buffer has a tile, ``seat`` is where other ranks
    are met.
    """

    kernel: Kernel
    watch: tuple[str, ...]
    owners: Mapping[str, str]
    seat: Seat
    memory: dict[tuple[str, int], Storage] = field(default_factory=dict[tuple[str, int], Storage])
    registers: dict[str, Array] = field(default_factory=dict[str, Array])
    env: dict[str, int] = field(default_factory=dict[str, int])
    watched: dict[str, Storage] = field(default_factory=dict[str, Storage])
    warnings: list[str] = field(default_factory=list[str])

    def body(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            match statement:
                case Instruction():
                    self.instruction(statement)
                case Alloc():
                    self.allocate(statement.buffer)
                case Loop():
                    self.loop(statement)
                case Note():
                    pass

    def loop(self, loop: Loop) -> None:
        lower, upper = loop.lower.value(self.env), loop.upper.value(self.env)
        for turn in turns(loop, lower, upper):
            for k, value in turn:
                self.env[loop.var] = value
                self.body((loop.body[k],))
        self.env.pop(loop.var, None)

    def allocate(self, buffer: Buffer) -> None:
        """A fresh tile in the place of the one ``copies`` values of the owning loop before."""
        owner = self.owners.get(buffer.name)
        if owner is not None:
            self.memory.pop((buffer.name, self.env[owner] - buffer.copies), None)
        self.memory[self.key(buffer.name)] = Storage.fresh(buffer)

    def key(self, name: str) -> tuple[str, int]:
        """The tile of a buffer that is meant at the current values of the loop variables."""
        owner = self.owners.get(name)
        return name, 0 if owner is None else self.env.get(owner, -1)

    def instruction(self, instruction: Instruction) -> None:
        """Execute one instruction; errors name it and where it stands."""
        try:
            row = INSTRUCTIONS[instruction.kind]
            args = self.arguments(instruction, row)
            if row.name == "activation":
                self.check_range(instruction, args)
            results = row.meaning(args)
            if row.registers:
                self.registers[instruction.engine] = results["registers"]
            for parameter in row.parameters:
                target = instruction.args.get(parameter.name)
                if parameter.role.writes and isinstance(target, View):
                    self.storage(target).write(target, self.env, results[parameter.name])
                    self.note_write(target)
        except SimulationError as error:
            raise SimulationError(f"{_where(instruction, self.env)} {error}") from error

    def arguments(self, instruction: Instruction, row: InstructionRow) -> dict[str, Any]:
        """Operands by parameter name as the row's meaning takes them."""
        accumulate = _holds(instruction.args.get("accumulate"), self.env)
        args: dict[str, Any] = {"engine": instruction.engine}
        for parameter in row.parameters:
            given = instruction.args.get(parameter.name)
            args[parameter.name] = self.value(parameter, given, accumulate=accumulate)
        destination = instruction.args.get("dst")
        if isinstance(destination, View):
            args["partitions"] = destination.partitions
            args["dtype"] = self.storage(destination).buffer.dtype.numpy
        if row.registers:
            args["registers"] = self.register_values(instruction)
        if row.collective:
            args["sources"], args["place"] = self.seat.exchange(args["replica_group"], args["src"])
        return args

    def value(self, parameter: Parameter, given: Operand, *, accumulate: bool) -> Any:
        """An operand's value; None for views that are only written."""
        if given is None:
            return parameter.default
        if isinstance(given, View):
            reads = accumulate if parameter.role is Role.ACCUMULATE else parameter.role.reads
            return self.storage(given).read(given, self.env) if reads else None
        return given.value(self.env) if isinstance(given, Affine) else given

    def register_values(self, instruction: Instruction) -> Array | None:
        """The engine's accumulator registers; needed unless the command resets them."""
        command = instruction.args.get("reduce_cmd")
        held = self.registers.get(instruction.engine)
        needs = command == "reduce" or (
            command in (None, "idle")
            and instruction.kind == "activation"
            and instruction.args.get("reduce_res") is not None
        )
        destination = instruction.args.get("dst")
        rows = destination.partitions if isinstance(destination, View) else 0
        if needs and (held is None or held.shape[0] < rows):
            raise SimulationError(
                f"uses the accumulator registers of engine {instruction.engine!r} for {rows} "
                "partitions before an instruction reset them; begin with reduce_cmd 'reset_reduce'"
            )
        return held

    def storage(self, view: View) -> Storage:
        try:
            return self.memory[self.key(view.buffer)]
        except KeyError:
            raise SimulationError(
                f"uses buffer {view.buffer!r}, which is not allocated at this point"
            ) from None

    def note_write(self, view: View) -> None:
        storage = self.memory[self.key(view.buffer)]
        if storage.buffer.tensor in self.watch:
            # Re-inserted so that the order is the order of last writes.
            self.watched.pop(view.buffer, None)
            self.watched[view.buffer] = storage

    def check_range(self, instruction: Instruction, args: Mapping[str, Any]) -> None:
        name = str(instruction.args["op"])
        row = activations.ACTIVATIONS[name]
        if not row.restricted:
            return
        outside = activations.outside_range(name, activation_input(args))
        if outside:
            self.warnings.append(
                f"{_where(instruction, self.env)} applies {name} to {outside} elements outside its "
                f"valid range {row.low:g}..{row.high:g}; the hardware's result is undefined there"
            )


def _holds(condition: Operand, env: Mapping[str, int]) -> bool:
    if isinstance(condition, Affine):
        return condition.value(env) > 0
    return bool(condition)


def _where(instruction: Instruction, env: Mapping[str, int]) -> str:
    at = f" at {', '.join(f'{v}={i}' for v, i in env.items())}" if env else ""
    return f"{instruction.label}{at}"


def _bound(buffer: Buffer, array: Any) -> Storage:
    """An input's storage, its array checked against the buffer."""
    values: Array = np.asarray(array)
    if values.shape == () and buffer.shape == (1,):
        values = values.reshape(1)
    if values.shape != buffer.shape or values.dtype != buffer.dtype.numpy:
        raise ArgumentError(
            f"input {buffer.name!r} has shape {values.shape} and dtype {values.dtype}; "
            f"the kernel takes {buffer.shape} {buffer.dtype}"
        )
    if buffer.memory is Memory.UPDATED:
        values = values.copy()  # the caller decides what becomes of the new value
    return Storage.holding(buffer, values)


def _output(machine: _Machine, name: str) -> Array:
    storage = machine.memory[name, 0]
    if storage.written is not None and not storage.written.all():
        missing = storage.written.size - int(np.count_nonzero(storage.written))
        raise SimulationError(
            f"kernel {machine.kernel.name!r} ends with {missing} of the {storage.written.size} "
            f"elements of output {name!r} never written"
        )
    return storage.values


def run(
    kernel: Kernel,
    arrays: Sequence[Any],
    target: Target,
    *,
    watch: Sequence[str] = (),
    seat: Seat | None = None,
) -> Run:
    """Execute ``kernel`` on its inputs in order (bound inputs come with the kernel).

    ``watch`` names tensors whose buffers' last contents are returned too. ``seat`` is the rank's
    place among others (``run_ranks``).

    Raises:
        ArgumentError: number, shape or dtype of the arrays differ from the kernel's inputs, or the
            kernel was made for another target or for several ranks.
        SimulationError: a read of unwritten memory, a view outside its buffer, an output left
            unwritten, more on-chip memory than the target has; names instruction and buffer.
    """
    if kernel.target_name != target.name:
        raise ArgumentError(
            f"kernel {kernel.name!r} was lowered for target {kernel.target_name!r}, "
            f"not {target.name!r}; simulate it with its own target"
        )
    if len(arrays) != len(kernel.inputs):
        raise ArgumentError(
            f"kernel {kernel.name!r} takes {len(kernel.inputs)} arrays "
            f"({', '.join(kernel.inputs)}), got {len(arrays)}"
        )
    excess = capacity.sbuf(kernel, target) or capacity.psum(kernel, target)
    if excess:
        raise SimulationError(f"kernel {kernel.name!r} {excess}")
    seat = seat or alone()
    seat.check(kernel)
    machine = _Machine(kernel=kernel, watch=tuple(watch), owners=owners(kernel.body), seat=seat)
    given = dict(zip(kernel.inputs, arrays, strict=True)) | dict(kernel.bound_inputs)
    for name, array in given.items():
        machine.memory[name, 0] = _bound(kernel.buffers[name], array)
    returned = (*kernel.outputs, *kernel.mutated_outputs)
    for name in returned:
        if kernel.buffers[name].memory is not Memory.UPDATED:
            machine.memory[name, 0] = Storage.fresh(kernel.buffers[name])
    with np.errstate(all="ignore"):
        machine.body(kernel.body)
    watched = tuple(
        Watched(tensor=s.buffer.tensor, buffer=n, note=s.buffer.note, value=s.values)
        for n, s in machine.watched.items()
    )
    outputs = tuple(_output(machine, name) for name in returned)
    return Run(outputs=outputs, watched=watched, warnings=tuple(machine.warnings))
