"""Collects statements, buffers and loops of a kernel while it is lowered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.nki.kernel import (
    Address,
    Affine,
    Alloc,
    Buffer,
    Instruction,
    Loop,
    LoopTerm,
    Memory,
    Operand,
    Statement,
)

ZERO = Affine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """``size`` positions of a digit from ``start``; ``turn`` counts the tiles before this one."""

    start: Affine = ZERO
    size: int
    turn: Affine = ZERO


@dataclass(slots=True)
class Builder:
    """Statements go to the innermost open loop; ``delays`` has theirs as far as they are known.

    ``step`` is the number of the plan's step that is carried out.
    """

    buffers: dict[str, Buffer] = field(default_factory=dict[str, Buffer])
    open: list[list[Statement]] = field(default_factory=lambda: [[]])
    delays: list[list[int]] = field(default_factory=lambda: [[]])
    names: set[str] = field(default_factory=set[str])
    variables: dict[str, int] = field(default_factory=dict[str, int])
    step: int | None = None

    def unique(self, name: str) -> str:
        """A fresh identifier close to ``name``."""
        base = re.sub(r"\W+", "_", name).strip("_") or "t"
        base = f"t_{base}" if base[0].isdigit() else base
        found, k = base, 2
        while found in self.names:
            found, k = f"{base}_{k}", k + 1
        self.names.add(found)
        return found

    def buffer(  # noqa: PLR0913
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType,
        memory: Memory,
        *,
        tensor: str = "",
        note: str = "",
        copies: int = 1,
        address: int | None = None,
    ) -> Buffer:
        """Declare a buffer; scratch and on-chip buffers are allocated here and now."""
        place = None if address is None else Address(partition=0, offset_bytes=address)
        made = Buffer(
            name=self.unique(name),
            shape=shape,
            dtype=dtype,
            memory=memory,
            tensor=tensor,
            note=note,
            copies=copies,
            address=place,
        )
        self.buffers[made.name] = made
        if memory not in (Memory.INPUT, Memory.UPDATED, Memory.OUTPUT):
            self.open[-1].append(Alloc(buffer=made))
        return made

    def emit(
        self,
        kind: str,
        engine: str,
        args: Mapping[str, Operand],
        ops: tuple[str, ...] = (),
        note: str = "",
    ) -> None:
        """Append an instruction."""
        self.open[-1].append(
            Instruction(
                kind=kind, engine=engine, args=dict(args), ops=ops, note=note, step=self.step
            )
        )

    def tiles(self, name: str, size: int, block: int) -> Iterator[Range]:
        """Full blocks in a loop (none is opened for a single one), then the remainder."""
        full, rest = divmod(size, block)
        if full == 1:
            yield Range(size=block)
        elif full > 1:
            var = self._variable(name)
            self.open.append([])
            self.delays.append([])
            index = Affine(terms=(LoopTerm(var=var, stride=1),))
            yield Range(start=index * block, size=block, turn=index)
            self.delayed(0)
            body, delays = tuple(self.open.pop()), tuple(self.delays.pop())
            if not any(delays):
                delays = ()
            self.open[-1].append(Loop(var=var, upper=Affine(const=full), body=body, delays=delays))
        if rest:
            yield Range(start=Affine(const=full * block), size=rest, turn=Affine(const=full))

    def delayed(self, by: int) -> None:
        """Delay the statements of the innermost loop since the last call by so many turns."""
        self.delays[-1] += [by] * (len(self.open[-1]) - len(self.delays[-1]))

    def _variable(self, name: str) -> str:
        base = "i_" + re.sub(r"\W+", "_", name).strip("_")
        n = self.variables.get(base, 0)
        self.variables[base] = n + 1
        return self.unique(base if n == 0 else f"{base}_{n + 1}")
