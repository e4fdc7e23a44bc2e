"""NKI IR to NKI Python source: the layout of the module around the calls."""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass
from textwrap import wrap

from nkigen_cp.emit.addresses import ADDRESSES, PIPELINE_OPTIONS, spell_address
from nkigen_cp.emit.choose import choose
from nkigen_cp.emit.device import DeviceLoop
from nkigen_cp.emit.header import MODULES, imports, module_docstring
from nkigen_cp.emit.instructions import call_arguments
from nkigen_cp.emit.names import Labels
from nkigen_cp.emit.registers import turn_name
from nkigen_cp.emit.scope import Scope, build_scope
from nkigen_cp.emit.signatures import check_source
from nkigen_cp.emit.text import INDENT, WIDTH, comment, with_note, wrapped_call
from nkigen_cp.errors import ArgumentError, KernelError
from nkigen_cp.ir.nki.kernel import (
    Alloc,
    Buffer,
    Instruction,
    Kernel,
    Loop,
    Memory,
    Note,
    Statement,
    walk,
)
from nkigen_cp.ir.nki.pipeline import spreads
from nkigen_cp.ir.nki.table import INSTRUCTIONS

_SPACES = {
    Memory.OUTPUT: "nl.shared_hbm",
    Memory.HBM: "nl.private_hbm",
    Memory.SBUF: "nl.sbuf",
    Memory.PSUM: "nl.psum",
}


class Form(enum.Enum):
    """The three shapes of the kernel function that toolchains take."""

    JIT = "a @nki.jit function that returns its outputs"
    PLAIN = "the same without the decorator"
    IN_PLACE = "without the decorator; outputs are parameters and nothing is returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the source is written; ``emit_nki`` says what the values mean."""

    loops: str = "auto"
    addresses: str = "auto"

    def __post_init__(self) -> None:
        if self.addresses not in ADDRESSES:
            raise ArgumentError(
                f"emit_nki: addresses={self.addresses!r} is not one of {', '.join(ADDRESSES)}"
            )


def emit_nki(kernel: Kernel, *, loops: str = "auto", addresses: str = "auto") -> str:
    """One self-contained module with one ``@nki.jit`` function named like the kernel.

    The function takes ``kernel.inputs`` then ``kernel.bound_inputs`` and returns
    ``kernel.outputs`` then the new values of mutated inputs that have an output buffer of their
    own. Every call is checked against the signatures of NKI 0.6 before the source is returned.

    A loop in Python is unrolled by the NKI compiler, ``nl.fori_loop`` stays a loop on the device.
    ``loops="unrolled"`` has Python loops only, ``"device"`` device loops wherever the language
    allows them, ``"auto"`` as few as keep the program below a million instructions.
    ``addresses="auto"`` leaves on-chip addresses to the compiler, ``"plan"`` writes the plan's for
    every buffer; the header then names the options that the compiler needs with them.

    Raises:
        ArgumentError: an option has an unknown value.
        KernelError: the kernel holds something that has no NKI spelling; names it.
    """
    return write_source(kernel, Form.JIT, Options(loops=loops, addresses=addresses))


def write_source(kernel: Kernel, form: Form, options: Options) -> str:
    """The module of ``emit_nki`` with its function in the given form."""
    lines = _Printer(kernel, form, options).module()
    source = "\n".join(lines) + "\n"
    check_source(source)
    return source


class _Printer:
    """Walks a kernel and collects source lines."""

    def __init__(self, kernel: Kernel, form: Form, options: Options) -> None:
        self._kernel = kernel
        self._form = form
        self._options = options
        self._chosen = choose(kernel, options.loops)
        self._scope = build_scope(kernel, self._chosen.body)
        self._labels = Labels(self._scope.names.values())
        self._lines: list[str] = []
        self._depth = 1
        # Variables of the Python loops around, and what counts the innermost loop's iterations.
        self._loops: tuple[str, ...] = ()
        self._turn: str = ""
        self._note = ""

    def module(self) -> list[str]:
        """All lines of the module."""
        scope, in_place = self._scope, self._form is Form.IN_PLACE
        made = [n for n in scope.results if n not in scope.parameters]
        border = (*scope.parameters, *made)
        arguments = border if in_place else scope.parameters
        names = [scope.names[n] for n in arguments]
        head = wrapped_call(f"def {scope.function}", names, 0)
        self._lines += [
            *module_docstring(self._kernel, scope, self._remarks()),
            *imports(self._kernel.body),
            *(["@nki.jit"] if self._form is Form.JIT else []),
            *head[:-1],
            f"{head[-1]}:",
        ]
        for name in () if in_place else made:
            self._allocate(scope.buffers[name])
        for name in border:
            self._reshape(name)
        self._gap()
        self._block(self._chosen.body)
        if not in_place and scope.results:
            self._gap()
            returned = ", ".join(scope.names[n] for n in scope.results)
            self._lines.append(f"{INDENT}return {returned}")
        elif self._lines[-1].endswith(":"):
            self._lines.append(f"{INDENT}return None")
        return self._lines

    def _remarks(self) -> list[str]:
        """What the reader has to know of the options."""
        lines: list[str] = []
        if self._chosen.device:
            names = ", ".join(self._scope.loop_vars[var] for var in self._chosen.device)
            lines += wrap(f"Loops on the device: {names}; all others are unrolled.", WIDTH)
        if self._options.addresses == "plan":
            lines.append("On-chip addresses are the plan's. Compile with the pipeline options")
            lines += [f"    {option}" for option in PIPELINE_OPTIONS]
        return lines

    def _block(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            if isinstance(statement, Alloc):
                self._allocate(statement.buffer)
                self._reshape(statement.buffer.name)
            elif isinstance(statement, Loop):
                self._loop(statement)
            elif isinstance(statement, Instruction):
                self._call(statement)
            else:
                self._remark(statement)

    def _gap(self) -> None:
        """A blank line, unless a block or a paragraph has just begun."""
        last = self._lines[-1]
        if last and not last.split("  #")[0].endswith(":") and not last.lstrip().startswith("#"):
            self._lines.append("")

    def _remark(self, note: Note) -> None:
        self._gap()
        self._lines += comment(note.text, self._depth)

    def _call(self, instruction: Instruction) -> None:
        if instruction.note and instruction.note != self._note:
            self._note = instruction.note
            self._remark(Note(text=instruction.note))
        arguments = call_arguments(instruction, self._scope)
        row = INSTRUCTIONS[instruction.kind]
        function = f"{MODULES[row.module]}.{row.function or row.name}"
        self._lines += wrapped_call(function, arguments, self._depth)

    def _loop(self, loop: Loop) -> None:
        if not any(isinstance(s, (Alloc, Instruction)) for s in walk(loop.body)):
            return  # a loop of comments alone is no Python
        before = self._scope, self._loops, self._turn, self._depth
        if isinstance(loop, DeviceLoop):
            self._device_loop(loop)
        else:
            self._python_loop(loop)
        self._scope, self._loops, self._turn, self._depth = before
        if isinstance(loop, DeviceLoop):
            self._run(loop)

    def _python_loop(self, loop: Loop) -> None:
        if loop.depth:
            self._pipelined_loop(loop)
            return
        scope = self._scope
        bounds = [scope.index(loop.upper)]
        if loop.lower.terms or loop.lower.const:
            bounds.insert(0, scope.index(loop.lower))
        reason = self._chosen.reasons.get(loop.var, "")
        note = "; ".join(filter(None, (loop.note, reason and f"unrolled: {reason}")))
        self._open(loop, scope.loop_vars[loop.var], ", ".join(bounds), note)

    def _open(self, loop: Loop, var: str, bounds: str, note: str) -> None:
        """A Python loop with the body of ``loop``."""
        head = f"{INDENT * self._depth}for {var} in range({bounds}):"
        self._lines += with_note([head], note, self._depth)
        self._depth += 1
        self._loops += (var,)
        self._turn = var
        self._scope = self._scope.inside(loop)
        self._block(loop.body)

    def _pipelined_loop(self, loop: Loop) -> None:
        """Turns in which neighbouring statements of one delay do the same iteration, if it is."""
        scope = self._scope
        var, turn = scope.loop_vars[loop.var], scope.loop_vars[turn_name(loop.var)]
        lower, upper = scope.index(loop.lower), scope.index(loop.upper)
        for spread in spreads(loop):
            if spread.crosses:
                self._lines.append(f"{INDENT * self._depth}{scope.names[spread.buffer]} = []")
        bounds = f"{upper} + {loop.depth}" if lower == "0" else f"{lower}, {upper} + {loop.depth}"
        head = f"{INDENT * self._depth}for {turn} in range({bounds}):"
        self._lines += with_note([head], loop.note, self._depth)
        self._loops += (var,)
        self._turn = var
        self._scope = scope.inside(loop)
        for delay, group in itertools.groupby(
            zip(loop.delays, loop.body, strict=True), key=lambda pair: pair[0]
        ):
            value = f"{turn} - {delay}" if delay else turn
            self._depth += 1
            self._lines += [
                f"{INDENT * self._depth}if {lower} <= {value} < {upper}:",
                f"{INDENT * (self._depth + 1)}{var} = {value}",
            ]
            self._depth += 1
            self._block(tuple(s for _, s in group))
            self._depth -= 2

    def _device_loop(self, loop: DeviceLoop) -> None:
        """The function that ``nl.fori_loop`` calls with the register."""
        scope = self._scope
        register = scope.register_names[loop.label]
        self._gap()
        self._lines += comment(_register_note(loop, scope), self._depth)
        self._lines.append(f"{INDENT * self._depth}def {scope.bodies[loop.label]}({register}):")
        self._depth += 1
        if loop.unroll > 1:
            turn = scope.loop_vars[turn_name(loop.label)]
            self._open(loop, turn, str(loop.unroll), loop.note)
            return
        self._turn = ""
        self._scope = scope.inside(loop)
        self._block(loop.body)

    def _run(self, loop: DeviceLoop) -> None:
        iterations = loop.upper + loop.lower * -1
        arguments = ["0", self._scope.index(iterations * loop.scale)]
        arguments.append(self._scope.bodies[loop.label])
        if loop.unroll * loop.scale > 1:
            arguments.append(f"step={loop.unroll * loop.scale}")
        self._gap()
        self._lines += wrapped_call("nl.fori_loop", arguments, self._depth)

    def _allocate(self, buffer: Buffer) -> None:
        name = self._scope.names.get(buffer.name)
        if name is None or buffer.memory not in _SPACES:
            raise KernelError(
                f"buffer {buffer.name!r} is allocated in {buffer.memory.value!r}, but only known "
                f"{', '.join(m.value for m in _SPACES)} buffers can be"
            )
        arguments = [
            _shape(buffer.shape),
            f"dtype=nl.{buffer.dtype.nki}",
            f"buffer={_SPACES[buffer.memory]}",
            f"name={self._labels.literal(name, self._loops)}",
        ]
        if self._options.addresses == "plan" and buffer.memory.on_chip:
            arguments.append(f"address={spell_address(buffer, self._turn)}")
        if buffer.name in self._scope.tiles:
            lines = wrapped_call("nl.ndarray", arguments, self._depth + 1)
            lines = [f"{INDENT * self._depth}{name}.append(", *lines, f"{INDENT * self._depth})"]
        else:
            lines = wrapped_call(f"{name} = nl.ndarray", arguments, self._depth)
        self._lines += with_note(lines, buffer.note, self._depth)

    def _reshape(self, name: str) -> None:
        for (buffer, shape), alias in self._scope.aliases.items():
            if buffer == name:
                base = self._scope.names[name]
                text = f"{alias} = {base}.reshape({_shape(shape)})"
                self._lines.append(INDENT * self._depth + text)


def _register_note(loop: DeviceLoop, scope: Scope) -> str:
    """What the register of the loop stands for, such as ``m is 1 + m_t + m_r / 128``."""
    register = scope.register_names[loop.label]
    inside = scope.inside(loop).registers[loop.var]
    moved = register if loop.scale == 1 else f"{register} / {loop.scale}"
    base = scope.index(inside.base)
    what = moved if base == "0" else f"{base} + {moved}"
    note = f"; {loop.note}" if loop.note and loop.unroll == 1 else ""
    return f"On the device: {scope.loop_vars[loop.var]} is {what}{note}."


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
