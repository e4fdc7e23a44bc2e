"""Targets that differ from a chip in one resource, to see what its latency depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from nkigen_cp.targets import Target

Scale = Callable[[Target, float], Target]


def _sbuf(target: Target, factor: float) -> Target:
    return replace(target, sbuf_partition_bytes=int(target.sbuf_partition_bytes * factor))


def _bandwidth(target: Target, factor: float) -> Target:
    """HBM and the DMA engines that move its bytes."""
    rate = target.dma.bytes_per_ns_per_engine * factor
    return replace(
        target,
        hbm_bytes_per_ns=target.hbm_bytes_per_ns * factor,
        dma=replace(target.dma, bytes_per_ns_per_engine=rate),
    )


def _engine(name: str) -> Scale:
    def scale(target: Target, factor: float) -> Target:
        facts = target.engines[name]
        faster = replace(facts, clock_ghz=facts.clock_ghz * factor)
        return replace(target, engines={**target.engines, name: faster})

    return scale


RESOURCES: Mapping[str, Scale] = {
    "SBUF size": _sbuf,
    "HBM bandwidth": _bandwidth,
    "Tensor engine": _engine("tensor"),
    "Vector engine": _engine("vector"),
    "Scalar engine": _engine("scalar"),
    "GpSimd engine": _engine("gpsimd"),
}
"""What can be scaled: capacity, rate or clock."""


def scaled(target: Target, resource: str, factor: float) -> Target:
    """The target with ``factor`` times of one of ``RESOURCES``."""
    return RESOURCES[resource](target, factor)
