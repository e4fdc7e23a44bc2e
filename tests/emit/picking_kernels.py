"""Kernels built by hand that read where data says."""

from __future__ import annotations

from nkigen_cp.ir.nki.kernel import Alloc, Kernel, Memory
from tests.emit.kernels import buffer, call, dma, kernel, sbuf, view


def picked() -> Kernel:
    """x (6, 4, 8) float32 -> rows by number, one of them by a dim, elements; numbers by iota."""
    x = buffer("x", (6, 4, 8), Memory.INPUT)
    rows, block = (buffer(n, (4, 8), Memory.OUTPUT) for n in ("rows", "block"))
    one = buffer("one", (6, 8), Memory.OUTPUT)
    elements = buffer("elements", (6, 3), Memory.OUTPUT)
    put = buffer("put", (6, 4, 8), Memory.OUTPUT)
    r_sb, b_sb, o_sb = sbuf("r_sb", 4, 8), sbuf("b_sb", 4, 8), sbuf("o_sb", 6, 8)
    e_sb = sbuf("e_sb", 6, 3)
    numbers, columns = sbuf("numbers", 4, 1, of="int32"), sbuf("columns", 6, 3, of="int32")
    flat = view(x, (0, 6), (1, 1), None, dims=(0, 2))
    return kernel(
        "picked",
        (x,),
        (rows, block, one, elements, put),
        *(Alloc(buffer=b) for b in (r_sb, b_sb, o_sb, e_sb, numbers, columns)),
        call("iota", "gpsimd", dst=view(numbers), pattern=((1, 1),), channel_multiplier=1),
        call("iota", "gpsimd", dst=view(columns), pattern=((2, 3),), channel_multiplier=0),
        call("dma_gather", "dma", dst=view(r_sb), src=flat, index=view(numbers)),
        call("dma_fetch", "dma", dst=view(b_sb), src=view(x), index=view(numbers, (3, 1), None)),
        call(
            "dma_fetch",
            "dma",
            dst=view(o_sb),
            src=view(x, dims=(1, 0, 2)),
            index=view(numbers, (2, 1), None),
        ),
        call("nc_n_gather", "gpsimd", dst=view(e_sb), data=view(o_sb), indices=view(columns)),
        *(dma(view(a), view(b)) for a, b in ((rows, r_sb), (block, b_sb), (one, o_sb))),
        dma(view(elements), view(e_sb)),
        dma(view(put), view(x)),
        call(
            "dma_put",
            "dma",
            dst=view(put, dims=(1, 0, 2)),
            src=view(o_sb),
            index=view(numbers, (3, 1), None),
        ),
    )
