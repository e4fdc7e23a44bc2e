"""The plan's addresses in the source: every buffer's, and copies that take turns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nkigen_cp.emit import emit_nki
from nkigen_cp.emit.addresses import PIPELINE_OPTIONS
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Address, Alloc, Buffer, Kernel, Memory
from tests.emit import kernels
from tests.emit.conftest import Judge
from tests.emit.kernels import buffer, call, dma, kernel, loop, psum, sbuf, var, view


def _at(made: Buffer, offset_bytes: int, copies: int = 1) -> Buffer:
    place = Address(partition=0, offset_bytes=offset_bytes)
    return dataclasses.replace(made, address=place, copies=copies)


def _placed(offset_bytes: int = 1000, psum_bytes: int = 2048) -> Kernel:
    """x (128, 512) -> x.T by blocks of 128; the tiles of a block have two copies each."""
    x = buffer("x", (128, 512), Memory.INPUT)
    out = buffer("out", (512, 128), Memory.OUTPUT)
    block = _at(sbuf("block", 128, 128), 0, copies=2)
    turned = _at(psum("turned", 128, 128), psum_bytes, copies=2)
    done = _at(sbuf("done", 128, 128), offset_bytes + 24, copies=2)
    part = (var("c", 128), 128)
    body = (
        *(Alloc(buffer=block), dma(view(block), view(x, None, part)), Alloc(buffer=turned)),
        call("nc_transpose", "tensor", dst=view(turned), data=view(block)),
        *(Alloc(buffer=done), call("tensor_copy", dst=view(done), src=view(turned))),
        dma(view(out, part), view(done)),
    )
    return kernel("placed", (x,), (out,), loop("c", 4, *body))


@pytest.mark.parametrize("loops", ["unrolled", "device"])
def test_every_buffer_gets_its_address(loops: str, judge: Judge) -> None:
    source = emit_nki(_placed(), loops=loops, addresses="plan")
    turn = "c" if loops == "unrolled" else "c_t"
    flat = " ".join(source.split())
    for address in (
        f"address=(0, {turn} % 2 * 512))",
        f"address=(0, 2048 + {turn} % 2 * 2048))",
        f"address=(0, 1024 + {turn} % 2 * 512))",
    ):
        assert address in flat
    assert all(f"    {option}\n" in source for option in PIPELINE_OPTIONS)
    x: Any = np.random.default_rng(1).standard_normal((128, 512)).astype(np.float32)
    report = judge(source, [x], [np.ascontiguousarray(x.T)])
    if report is not None:
        assert report["stats"]["sbuf"]["peak_live_bytes"] == 2048
        assert report["stats"]["psum"]["peak_live_banks"] == 3


def test_the_compiler_places_by_default() -> None:
    source = emit_nki(_placed())
    assert "address=" not in source
    assert "linear-scan" not in source


def test_a_copy_outside_loops_lies_at_the_address() -> None:
    t = _at(sbuf("t", 128, 4), 64, copies=3)
    fill = call("memset", dst=view(t), value=0.0)
    made = kernel("fill", (), (), Alloc(buffer=t), fill)
    assert "address=(0, 64))" in emit_nki(made, addresses="plan")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (kernels.vadd(), "needs an address for every on-chip buffer, but 'x.sb' has none"),
        (_placed(offset_bytes=1001), "'done' lies at byte 1025 .* multiples of 4"),
        (_placed(psum_bytes=512), "'turned' lies at byte 512 .* multiples of 2048"),
    ],
)
def test_addresses_that_are_none_are_refused(made: Kernel, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        emit_nki(made, addresses="plan")
