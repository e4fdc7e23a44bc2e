"""On-chip addresses in the source: the plan's for every buffer, or the NKI compiler's for all."""

from __future__ import annotations

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Buffer, Memory

ADDRESSES = ("auto", "plan")

PIPELINE_OPTIONS = ("enable-linear-scan-allocation=false", "enable-instruction-scheduling=false")
"""What ``CompileOptions.set_pipeline_options`` takes for a kernel that brings its own addresses.

Addresses in the source switch off the compiler's rotation of buffers; kernels placed by hand also
switch off its scheduling, so that the order in the source counts. Source: nki-autotune, which
measured about 48 points of the peak lost where addresses were mixed with the compiler's schedule.
"""

ALIGNMENT_BYTES = {Memory.SBUF: 4, Memory.PSUM: 2048}
"""nl.tile_size.sbuf_min_align; a PSUM address is that of a bank (nl.ndarray)."""


def spell_address(buffer: Buffer, turn: str) -> str:
    """``(first partition, byte offset)`` of an on-chip buffer.

    Copy ``c`` of a multi-buffered tile lies ``c`` aligned sizes behind its address. ``turn`` counts
    the iterations of the loop that allocates it; empty if there is none.

    Raises:
        KernelError: the plan gave the buffer no address, or one that NKI cannot take.
    """
    place, alignment = buffer.address, ALIGNMENT_BYTES[buffer.memory]
    if place is None:
        raise KernelError(
            f"addresses='plan' needs an address for every on-chip buffer, but {buffer.name!r} has "
            "none; mixing costs dearly, so use addresses='auto'"
        )
    if place.offset_bytes % alignment:
        raise KernelError(
            f"buffer {buffer.name!r} lies at byte {place.offset_bytes} of its partitions; "
            f"{buffer.memory.value} addresses must be multiples of {alignment}"
        )
    offset = str(place.offset_bytes)
    if buffer.copies > 1 and turn:
        size = -(-buffer.partition_bytes // alignment) * alignment
        rotated = f"{turn} % {buffer.copies} * {size}"
        offset = f"{offset} + {rotated}" if place.offset_bytes else rotated
    return f"({place.partition}, {offset})"
