"""Kernels built by hand of the instructions for rows."""

from __future__ import annotations

import math

from nkigen_cp.ir.nki.kernel import Alloc, Kernel, Memory
from tests.emit.kernels import buffer, call, dma, kernel, sbuf, view


def ordered() -> Kernel:
    """x (128, 64) float32 -> its running sums; its ninth to sixteenth largest elements, where."""
    x = buffer("x", (128, 64), Memory.INPUT)
    sums = buffer("sums", (128, 64), Memory.OUTPUT)
    values = buffer("values", (128, 8), Memory.OUTPUT)
    places = buffer("places", (128, 8), Memory.OUTPUT, "uint32")
    x_sb, running, left = (sbuf(n, 128, 64) for n in ("x_sb", "running", "left"))
    best, at = sbuf("best", 128, 16), sbuf("at", 128, 8, of="uint32")
    first, second = view(best, None, (0, 8)), view(best, None, (8, 8))
    return kernel(
        "ordered",
        (x,),
        (sums, values, places),
        *(Alloc(buffer=b) for b in (x_sb, running, left, best, at)),
        dma(view(x_sb), view(x)),
        call(
            "tensor_scalar_cumulative",
            dst=view(running),
            src=view(x_sb),
            op0="multiply",
            op1="add",
            imm0=1.0,
        ),
        call("max8", dst=first, src=view(x_sb)),
        call("nc_match_replace8", dst=view(left), data=view(x_sb), vals=first, imm=math.nan),
        call("memset", dst=view(left, None, (0, 1)), value=-1e30),
        call("max8", dst=second, src=view(left)),
        call("nc_find_index8", dst=view(at), data=view(left), vals=second),
        dma(view(sums), view(running)),
        dma(view(values), second),
        dma(view(places), view(at)),
    )
