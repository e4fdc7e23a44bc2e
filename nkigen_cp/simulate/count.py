"""What a kernel executes: instructions by kind and engine, and its HBM traffic in bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Memory, Statement, View
from nkigen_cp.ir.nki.loops import iterations
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.tensor.compulsory import read_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Executed instructions, loops multiplied out, and HBM traffic in bytes.

    A DMA counts its elements times the larger itemsize of its two sides on every HBM side; a source
    that broadcasts counts every byte it moves. A collective reads what it takes of its own rank and
    writes its result. ``compulsory_bytes`` is each input (bound ones too)
    and output once, of an input updated in place what is written, of one that traced indices
    address what they address.
    """

    instructions: int
    by_kind: Mapping[str, int]
    by_engine: Mapping[str, int]
    hbm_read_bytes: int
    hbm_written_bytes: int
    compulsory_bytes: int

    @property
    def hbm_bytes(self) -> int:
        return self.hbm_read_bytes + self.hbm_written_bytes

    @property
    def ratio(self) -> float:
        """HBM bytes over compulsory bytes; 1 is the best possible."""
        return self.hbm_bytes / self.compulsory_bytes if self.compulsory_bytes else 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Tally:
    kernel: Kernel
    kinds: Counter[str] = field(default_factory=Counter[str])
    engines: Counter[str] = field(default_factory=Counter[str])
    read_bytes: int = 0
    written_bytes: int = 0
    updated_bytes: int = 0

    def body(self, statements: tuple[Statement, ...], env: Mapping[str, int], times: int) -> None:
        for statement in statements:
            if isinstance(statement, Loop):
                for inner, repeats in iterations(statement, env):
                    self.body(statement.body, inner, times * repeats)
            elif isinstance(statement, Instruction):
                self.instruction(statement, times)

    def instruction(self, instruction: Instruction, times: int) -> None:
        self.kinds[instruction.kind] += times
        self.engines[instruction.engine] += times
        if instruction.engine != "dma":
            return
        buffers = self.kernel.buffers
        row = INSTRUCTIONS[instruction.kind]
        views = {n: v for n, v in instruction.args.items() if isinstance(v, View)}
        ends = [buffers[views[name].buffer] for name in ("dst", "src")]
        item_bytes = max(buffer.dtype.size_bytes for buffer in ends)
        for parameter in row.parameters:
            view = views.get(parameter.name)
            if view is None or buffers[view.buffer].memory.on_chip:
                continue
            sized = view if row.collective else views[row.moved]
            moved = times * prod(sized.result_shape) * item_bytes
            if parameter.role.writes:
                self.written_bytes += moved
                updates = buffers[view.buffer].memory is Memory.UPDATED
                self.updated_bytes += moved if updates else 0
            else:
                self.read_bytes += moved


def count(kernel: Kernel) -> Counts:
    """Count what one execution of ``kernel`` does; no data is needed."""
    tally = _Tally(kernel=kernel)
    tally.body(kernel.body, {}, 1)
    crossing = (
        *kernel.inputs,
        *kernel.bound_inputs,
        *(n for n in (*kernel.outputs, *kernel.mutated_outputs) if n not in kernel.inputs),
    )
    return Counts(
        instructions=tally.kinds.total(),
        by_kind=dict(sorted(tally.kinds.items())),
        by_engine=dict(sorted(tally.engines.items())),
        hbm_read_bytes=tally.read_bytes,
        hbm_written_bytes=tally.written_bytes,
        compulsory_bytes=tally.updated_bytes
        + sum(_needed_bytes(kernel, name) for name in crossing),
    )


def _needed_bytes(kernel: Kernel, name: str) -> int:
    """Bytes of an input or output that cross the border in any case."""
    buffer, graph = kernel.buffers[name], kernel.graph
    if graph is None or name not in (*kernel.inputs, *kernel.bound_inputs):
        return buffer.size_bytes
    known = buffer.tensor in (*graph.input_names, *graph.constants)
    return read_bytes(graph, buffer.tensor) if known else buffer.size_bytes
