"""What names mean in the emitted source: identifiers, reshaped aliases, the function's border."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nkigen_cp.emit.names import RESERVED, Names, identifier
from nkigen_cp.emit.views import ViewText, spell_view
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Buffer, Instruction, Kernel, Loop, Memory, View, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Identifiers of one kernel's function.

    ``parameters`` and ``results`` are buffer names in order; ``names`` and ``loop_vars`` map IR
    names to identifiers; ``aliases`` names HBM buffers in the shapes that views index.
    """

    function: str
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    buffers: Mapping[str, Buffer]
    names: Mapping[str, str]
    aliases: Mapping[tuple[str, tuple[int, ...]], str]
    loop_vars: Mapping[str, str]

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name, or KernelError."""
        if name not in self.buffers:
            raise KernelError(f"buffer {name!r} is used but is not one of the kernel's buffers")
        return self.buffers[name]

    def view(self, view: View) -> ViewText:
        """The view over the buffer, or over its alias in the view's shape."""
        buffer = self.buffer(view.buffer)
        base = self.aliases.get((view.buffer, view.shape), self.names[view.buffer])
        return spell_view(view, buffer, base, self.loop_vars)


def build_scope(kernel: Kernel) -> Scope:
    """Identifiers for everything in the kernel; what crosses its border gets its name first.

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
    loops = dict.fromkeys(s.var for s in walk(kernel.body) if isinstance(s, Loop))
    loop_vars = {var: fresh.fresh(var) for var in loops}
    reshaped = dict.fromkeys(_reshaped(kernel))
    return Scope(
        function=function,
        parameters=parameters,
        results=_results(kernel),
        buffers=kernel.buffers,
        names=names,
        aliases={key: fresh.fresh(f"{names[key[0]]}_v") for key in reshaped},
        loop_vars=loop_vars,
    )


def _results(kernel: Kernel) -> tuple[str, ...]:
    """Outputs, then new values of mutated inputs; an input updated in place is not returned."""
    mutated = (
        name
        for name in kernel.mutated_outputs
        if name not in kernel.outputs and kernel.buffers[name].memory is Memory.OUTPUT
    )
    return (*kernel.outputs, *mutated)


def _reshaped(kernel: Kernel) -> Iterator[tuple[str, tuple[int, ...]]]:
    """HBM buffers that a view indexes in another shape than their own, with that shape."""
    for statement in walk(kernel.body):
        operands = statement.args.values() if isinstance(statement, Instruction) else ()
        for view in operands:
            buffer = kernel.buffers.get(view.buffer) if isinstance(view, View) else None
            if isinstance(view, View) and buffer and not buffer.memory.on_chip:
                if view.shape != buffer.shape:
                    yield view.buffer, view.shape
