"""Rules of a whole kernel that need no data: names, scopes, first writes, outputs.

A rule returns what is wrong in one sentence, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

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
from nkigen_cp.ir.nki.loops import iterations
from nkigen_cp.ir.nki.table import INSTRUCTIONS, Role
from nkigen_cp.targets.target import Target

KernelRule = Callable[[Kernel, Target], str | None]

_GIVEN = (Memory.INPUT, Memory.UPDATED, Memory.OUTPUT)


def borders(kernel: Kernel, target: Target) -> str | None:
    """Inputs and outputs exist, lie in HBM and are not allocated; the target is the kernel's."""
    if kernel.target_name != target.name:
        return f"was lowered for {kernel.target_name!r}, not for {target.name!r}"
    updated = [n for n, b in kernel.buffers.items() if b.memory is Memory.UPDATED]
    for name in updated:
        if name not in kernel.inputs or kernel.mutated_outputs.get(name) != name:
            return f"updates {name!r}, which must be an input and a mutated output of that name"
    sides = (
        (Memory.INPUT, (*kernel.inputs, *kernel.bound_inputs)),
        (Memory.OUTPUT, (*kernel.outputs, *kernel.mutated_outputs)),
    )
    for memory, names in sides:
        for name in names:
            buffer = kernel.buffers.get(name)
            if name not in updated and (buffer is None or buffer.memory is not memory):
                return f"lists {name!r} as {memory.value}, which is no buffer of that memory"
    for key, buffer in kernel.buffers.items():
        if key != buffer.name or not buffer.shape or min(buffer.shape) < 1 or buffer.copies < 1:
            return (
                f"has buffer {key!r} with name {buffer.name!r}, shape {buffer.shape} and "
                f"{buffer.copies} copies; names must agree and sizes be 1 or more"
            )
        if buffer.memory.on_chip and buffer.shape[0] > target.partitions:
            return (
                f"has on-chip buffer {key!r} with {buffer.shape[0]} partitions; "
                f"at most {target.partitions} are allowed"
            )
    return None


def kinds(kernel: Kernel, _: Target) -> str | None:
    """Every instruction has a row."""
    for statement in walk(kernel.body):
        if isinstance(statement, Instruction) and statement.kind not in INSTRUCTIONS:
            return f"uses {statement.kind!r}, which is none of {', '.join(INSTRUCTIONS)}"
    return None


@dataclass(slots=True, kw_only=True, eq=False)
class _Scopes:
    """Walks a body, keeping what is defined at each point."""

    kernel: Kernel
    allocated: list[str]
    loops: list[str] = field(default_factory=list[str])
    seen: dict[str, str] = field(default_factory=dict[str, str])

    def body(self, statements: tuple[Statement, ...]) -> str | None:
        depth = len(self.allocated)
        for statement in statements:
            problem = self.statement(statement)
            if problem:
                return problem
        del self.allocated[depth:]
        return None

    def statement(self, statement: Statement) -> str | None:
        match statement:
            case Alloc(buffer=buffer):
                problem = self.claim(buffer.name, "buffer") or self.allocation(buffer)
                self.allocated.append(buffer.name)
                return problem
            case Loop():
                return self.loop(statement)
            case Instruction():
                return self.instruction(statement)
            case _:
                return None

    def claim(self, name: str, what: str) -> str | None:
        if name in self.seen:
            return f"defines {what} {name!r} twice; names must be unique"
        self.seen[name] = what
        return None

    def allocation(self, buffer: Buffer) -> str | None:
        if self.kernel.buffers.get(buffer.name) != buffer:
            return f"allocates {buffer.name!r} unlike the kernel's buffer of that name"
        if buffer.memory in _GIVEN:
            return f"allocates {buffer.name!r}, a kernel {buffer.memory.value} that exists already"
        return None

    def loop(self, loop: Loop) -> str | None:
        problem = (
            self.claim(loop.var, "loop variable")
            or self.defined(loop.lower, f"the lower bound of loop {loop.var!r}")
            or self.defined(loop.upper, f"the upper bound of loop {loop.var!r}")
        )
        if problem:
            return problem
        self.loops.append(loop.var)
        problem = self.body(loop.body)
        self.loops.pop()
        return problem

    def instruction(self, instruction: Instruction) -> str | None:
        where = instruction.label
        for value in instruction.args.values():
            if isinstance(value, Affine):
                problem = self.defined(value, where)
                if problem:
                    return problem
            if not isinstance(value, View):
                continue
            if value.buffer not in self.allocated:
                return (
                    f"uses buffer {value.buffer!r} in {where} where it is not allocated; "
                    "allocate it before, in this loop or in one around it"
                )
            for index in value.index:
                problem = self.defined(index.start, where)
                if problem:
                    return problem
        return None

    def defined(self, value: Affine, where: str) -> str | None:
        for term in value.terms:
            if term.var not in self.loops:
                inside = ", ".join(self.loops) or "none"
                return f"uses loop variable {term.var!r} in {where}; defined there are: {inside}"
        return None


def scopes(kernel: Kernel, _: Target) -> str | None:
    """Buffers and loop variables are defined once and used where they are defined."""
    given = [name for name, buffer in kernel.buffers.items() if buffer.memory in _GIVEN]
    walker = _Scopes(kernel=kernel, allocated=given)
    return next((p for p in (walker.claim(n, "buffer") for n in given) if p), None) or walker.body(
        kernel.body
    )


def first_writes(kernel: Kernel, _: Target) -> str | None:
    """The first instruction that touches a fresh buffer writes it."""
    given = (Memory.INPUT, Memory.UPDATED)
    written = {n for n, b in kernel.buffers.items() if b.memory in given}
    for statement in walk(kernel.body):
        if not isinstance(statement, Instruction):
            continue
        views = [
            (p.role, v.buffer)
            for p in INSTRUCTIONS[statement.kind].parameters
            if isinstance(v := statement.args.get(p.name), View)
        ]
        for role, name in views:
            if role.reads and name not in written:
                return f"reads buffer {name!r} in {statement.label} before anything wrote it"
        written.update(name for role, name in views if role.writes)
    return None


def outputs(kernel: Kernel, _: Target) -> str | None:
    """Every output gets at least as many elements as it has; an updated input any number."""
    counts: dict[str, int] = {}
    _count_writes(kernel.body, {}, 1, counts)
    for name in (*kernel.outputs, *kernel.mutated_outputs):
        if kernel.buffers[name].memory is Memory.UPDATED:
            continue
        size = prod(kernel.buffers[name].shape)
        if counts.get(name, 0) < size:
            return f"writes {counts.get(name, 0)} of the {size} elements of output {name!r}"
    return None


def _count_writes(
    body: tuple[Statement, ...], env: Mapping[str, int], times: int, counts: dict[str, int]
) -> None:
    for statement in body:
        if isinstance(statement, Loop):
            for inner, repeats in iterations(statement, env):
                _count_writes(statement.body, inner, times * repeats, counts)
        elif isinstance(statement, Instruction):
            for parameter in INSTRUCTIONS[statement.kind].parameters:
                view = statement.args.get(parameter.name)
                if isinstance(view, View) and parameter.role is Role.OUT:
                    moved = times * prod(view.result_shape)
                    counts[view.buffer] = counts.get(view.buffer, 0) + moved
