"""What the compiler knows of one chip, as a frozen value read from a data file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """One compute engine. ``gap_ns`` lies between back-to-back instructions of the engine."""

    clock_ghz: float
    min_issue_cycles: int
    start_cycles: int
    gap_ns: float
    write_drain_ns: float
    sem_to_start_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DmaFacts:
    """The DMA rings of one core. ``transpose_fraction`` is 0 where DMA cannot transpose."""

    engines: int
    partitions_per_engine: int
    bytes_per_ns_per_engine: float
    min_descriptor_ns: float
    transfer_overhead_ns: float
    latency_ns: float
    queues: int
    queue_issue_ns: float
    transpose_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One NeuronCore. Byte capacities are per partition.

    ``access_free_dims_max`` counts the free dims of one instruction's access pattern after merging.
    """

    name: str
    generation: int
    partitions: int
    quadrant: int
    sbuf_partition_bytes: int
    psum_banks: int
    psum_bank_bytes: int
    contraction_max: int
    stationary_free_max: int
    moving_free_max: int
    access_free_dims_max: int
    access_stride_penalty_bytes: int
    float32_matmul_passes: int
    float32_transpose_passes: int
    hbm_bytes_per_ns: float
    vector_fast_modes: bool
    engines: Mapping[str, EngineFacts]  # "tensor", "vector", "scalar", "gpsimd"
    dma: DmaFacts
    matmul_dtypes: tuple[str, ...]
    double_row_dtypes: tuple[str, ...]
    activations: tuple[str, ...]
    alu_ops: Mapping[str, tuple[str, ...]]  # engine -> ALU operators
    sources: Mapping[str, str]  # dotted key -> where the figure comes from
