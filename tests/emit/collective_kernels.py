"""A kernel built by hand that exchanges data with other ranks."""

from __future__ import annotations

from typing import Any

from nkigen_cp.ir.nki.kernel import Alloc, Kernel, Memory
from tests.emit.kernels import buffer, call, dma, kernel, view

GROUPS = ((0, 2), (3, 1))
"""Four ranks in pairs."""


def exchanged() -> Kernel:
    """x (4, 6) float32 -> reduced, gathered, scattered and swapped, in ``GROUPS``."""
    x, inner = buffer("x", (4, 6), Memory.INPUT), buffer("inner", (4, 6), Memory.HBM)
    shapes = {"reduced": (4, 6), "gathered": (8, 6), "scattered": (2, 6), "swapped": (4, 6)}
    outs = [buffer(name, shape, Memory.OUTPUT) for name, shape in shapes.items()]
    reduced, gathered, scattered, swapped = map(view, outs)
    more: dict[str, Any] = {"replica_group": GROUPS, "src": view(inner)}
    along: dict[str, Any] = {**more, "collective_dim": 0}
    return kernel(
        "exchanged",
        (x,),
        outs,
        Alloc(buffer=inner),
        dma(view(inner), view(x)),
        call("all_reduce", "dma", dst=reduced, op="add", **more),
        call("all_gather", "dma", dst=gathered, **along),
        call("reduce_scatter", "dma", dst=scattered, op="maximum", **along),
        call("all_to_all", "dma", dst=swapped, **along),
    )
