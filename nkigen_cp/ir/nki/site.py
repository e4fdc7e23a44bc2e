"""An instruction seen where it stands: what the verifier's rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.ir.nki.kernel import Affine, Buffer, Instruction, Loop, Memory, Operand, View
from nkigen_cp.ir.nki.loops import Range, value_range
from nkigen_cp.ir.nki.table import InstructionRow, Parameter
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One view operand of an instruction."""

    parameter: Parameter
    view: View
    buffer: Buffer

    def __str__(self) -> str:
        return f"{self.parameter.name} (buffer {self.buffer.name!r})"

    @property
    def extent(self) -> str:
        """Partitions and elements per partition, for messages."""
        return f"{self.view.partitions}x{self.view.free_size}"

    @property
    def in_psum(self) -> bool:
        return self.buffer.memory is Memory.PSUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One instruction with its row and the loops around it, outermost first."""

    target: Target
    buffers: Mapping[str, Buffer]
    loops: tuple[Loop, ...]
    instruction: Instruction
    row: InstructionRow

    def argument(self, name: str) -> Operand:
        """The operand given, or the parameter's default."""
        given = self.instruction.args.get(name)
        if given is None:
            parameter = self.row.parameter(name)
            return parameter.default if parameter else None
        return given

    @property
    def uses(self) -> list[Use]:
        """The view operands in the row's order."""
        found: list[Use] = []
        for parameter in self.row.parameters:
            view = self.instruction.args.get(parameter.name)
            if isinstance(view, View):
                buffer = self.buffers[view.buffer]
                found.append(Use(parameter=parameter, view=view, buffer=buffer))
        return found

    def use(self, name: str) -> Use:
        """The view operand of that name; rules ask for required ones only."""
        return next(u for u in self.uses if u.parameter.name == name)

    def range(self, value: Affine) -> Range:
        return value_range(value, self.loops)

    @property
    def where(self) -> str:
        """``kind on engine of ops``, for messages."""
        return self.instruction.label
