"""PSUM accumulation discipline, found by stepping through the first and last trips of every loop.

Only matmuls may have written what a matmul accumulates onto, and nothing may have read it since
the group began: the hardware adds to a running sum that is undefined otherwise. Source: AWS Neuron
SDK docs, nki/api/nki/isa/__init__.py, nc_matmul 'Accumulation mode'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from nkigen_cp.ir.nki.kernel import (
    Affine,
    Alloc,
    Instruction,
    Kept,
    Kernel,
    Loop,
    Memory,
    Statement,
    View,
    walk,
)
from nkigen_cp.ir.nki.numeric import Array
from nkigen_cp.ir.nki.table import INSTRUCTIONS, Role
from nkigen_cp.ir.nki.views import select
from nkigen_cp.targets.target import Target

# States of a PSUM element since its allocation; 0 is untouched.
_OPEN, _READ, _FOREIGN = 1, 2, 3
_TROUBLE = {
    _READ: "read since its accumulation group began",
    _FOREIGN: "written by an instruction other than nc_matmul",
}


@dataclass(slots=True, kw_only=True, eq=False)
class _Banks:
    env: dict[str, int] = field(default_factory=dict[str, int])
    states: dict[str, Array] = field(default_factory=dict[str, Array])

    def body(self, statements: tuple[Statement, ...]) -> str | None:
        for statement in statements:
            problem = None
            match statement:
                case Alloc(buffer=buffer) if buffer.memory is Memory.PSUM:
                    self.states[buffer.name] = np.zeros(buffer.shape, np.uint8)
                case Loop():
                    problem = self.loop(statement)
                case Instruction():
                    problem = self.instruction(statement)
                case _:
                    pass
            if problem:
                return problem
        return None

    def loop(self, loop: Loop) -> str | None:
        trips = range(loop.lower.value(self.env), loop.upper.value(self.env))
        for value in dict.fromkeys((trips[0], trips[-1])) if trips else ():
            self.env[loop.var] = value
            problem = self.body(loop.body)
            if problem:
                return problem
        return None

    def instruction(self, instruction: Instruction) -> str | None:
        row = INSTRUCTIONS[instruction.kind]
        views = [(p, instruction.args.get(p.name)) for p in row.parameters]
        for parameter, view in views:
            if isinstance(view, View) and view.buffer in self.states and parameter.role.reads:
                state = self.state(unrepeated(view))
                state[state == _OPEN] = _READ
        for parameter, view in views:
            if not isinstance(view, View) or view.buffer not in self.states:
                continue
            if parameter.role is Role.ACCUMULATE:
                problem = self.accumulate(instruction, view)
                if problem:
                    return problem
            elif parameter.role.writes:
                self.state(view)[...] = _FOREIGN
        return None

    def accumulate(self, instruction: Instruction, view: View) -> str | None:
        state = self.state(view)
        condition = instruction.args.get("accumulate")
        adds = condition.value(self.env) > 0 if isinstance(condition, Affine) else bool(condition)
        for trouble, what in _TROUBLE.items():
            if adds and (state == trouble).any():
                return (
                    f"accumulates in {instruction.label} onto PSUM buffer {view.buffer!r}, which "
                    f"was {what}; begin a new group with accumulate false"
                )
        state[...] = _OPEN
        return None

    def state(self, view: View) -> Array:
        return select(self.states[view.buffer], view, self.env)


def unrepeated(view: View) -> View:
    """The same elements without repeats."""
    return replace(view, dims=tuple(d for d in view.dims if isinstance(d, Kept)))


def accumulation(kernel: Kernel, _: Target) -> str | None:
    """Nothing but matmuls takes part in an accumulation group."""
    instructions = [s for s in walk(kernel.body) if isinstance(s, Instruction)]
    if not any(i.args.get("accumulate") for i in instructions):
        return None
    return _Banks().body(kernel.body)
