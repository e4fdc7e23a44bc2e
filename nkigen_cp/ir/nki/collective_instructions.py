"""Rows of the instructions that exchange HBM tensors between ranks (``nki.collectives``)."""

from __future__ import annotations

from nkigen_cp.ir.collectives import COLLECTIVES, Collective
from nkigen_cp.ir.nki import cycles, meaning
from nkigen_cp.ir.nki.instruction_row import (
    HBM,
    InstructionRow,
    Parameter,
    Role,
    read,
    required,
    written,
)
from nkigen_cp.ir.nki.kernel import Memory

_WRITTEN = (Memory.OUTPUT, Memory.HBM)


def _row(c: Collective) -> InstructionRow:
    more: tuple[Parameter, ...] = ()
    if c.name != "all_reduce":
        more += (required("collective_dim", Role.INTEGER),)
    if c.reduces:
        more += (required("op", Role.OP),)
    return InstructionRow(
        name=c.name,
        engines=("dma",),
        parameters=(
            written(memories=_WRITTEN),
            read("src", memories=HBM),
            required("replica_group", Role.GROUPS),
            *more,
        ),
        rules=("replica_groups", "whole_buffers", "exchanged_shape", "reduced_by"),
        cost=cycles.collective_twice if c.passes > 1 else cycles.collective,
        meaning=meaning.exchanged(c.exchange),
        module="nki.collectives",
    )


COLLECTIVE_INSTRUCTIONS: tuple[InstructionRow, ...] = tuple(map(_row, COLLECTIVES.values()))
