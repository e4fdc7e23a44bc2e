"""Rows of the instruction table for what is addressed by data: the positions are an operand."""

from __future__ import annotations

from nkigen_cp.ir.nki import cycles, meaning
from nkigen_cp.ir.nki.instruction_row import (
    HBM,
    InstructionRow,
    Parameter,
    Role,
    read,
    written,
)
from nkigen_cp.ir.nki.kernel import Memory

_SBUF = (Memory.SBUF,)
WRITTEN = (Memory.UPDATED, Memory.OUTPUT, Memory.HBM)

PICKING_INSTRUCTIONS: tuple[InstructionRow, ...] = (
    InstructionRow(
        name="dma_gather",
        engines=("dma",),
        parameters=(
            written(memories=_SBUF),
            read("src", memories=HBM),
            read("index", memories=_SBUF),
        ),
        rules=("gathered_rows", "index_dtype"),
        cost=cycles.dma_copy,
        meaning=meaning.gather,
        function="dma_copy",
        addressed="src",
    ),
    InstructionRow(
        name="dma_fetch",
        engines=("dma",),
        parameters=(
            written(memories=_SBUF),
            read("src", memories=HBM),
            read("index", memories=_SBUF),
        ),
        rules=("fetched_block", "index_dtype"),
        cost=cycles.dma_copy,
        meaning=meaning.gather,
        function="dma_copy",
        addressed="src",
    ),
    InstructionRow(
        name="dma_put",
        engines=("dma",),
        parameters=(
            Parameter(name="dst", role=Role.UPDATE, memories=WRITTEN),
            read("src", memories=_SBUF),
            read("index", memories=_SBUF),
        ),
        rules=("put_block", "index_dtype"),
        cost=cycles.dma_put,
        meaning=meaning.put,
        function="dma_copy",
        moved="src",
        addressed="dst",
    ),
    InstructionRow(
        name="nc_n_gather",
        engines=("gpsimd",),
        parameters=(
            written(memories=_SBUF),
            read(memories=_SBUF),
            read("indices", memories=_SBUF),
        ),
        rules=("gathered_elements", "index_dtype"),
        cost=cycles.n_gather,
        meaning=meaning.n_gather,
    ),
)
