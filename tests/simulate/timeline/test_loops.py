"""Extrapolated loops give the times of simulated ones."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from benchmarks.timeline.kernels import accumulated, blocked, inner_loads, resident, streamed
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32
from nkigen_cp.ir.nki.kernel import Alloc, Kernel
from nkigen_cp.simulate import count
from nkigen_cp.simulate.timeline import Reason, estimate, loops
from nkigen_cp.targets import TRN2
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view


def relay(trips: int) -> Kernel:
    """A loop fills a row of tiles, a second one behind it copies them, a third the copies."""
    t, u, v = (buffer(n, (128, trips, 64)) for n in "tuv")
    engines = (("tensor_copy", "scalar", u, t), ("tensor_copy", "gpsimd", v, u))
    first = loop("i", trips, op("memset", dst=view(t, at(0, 128), at(var("i"), 1)), value=0.0))
    copies = [
        loop(
            name,
            trips,
            op(
                kind,
                engine,
                dst=view(dst, at(0, 128), at(var(name), 1)),
                src=view(src, at(0, 128), at(var(name), 1)),
            ),
        )
        for name, (kind, engine, dst, src) in zip("jk", engines, strict=True)
    ]
    return kernel((t, u, v), first, *copies)


def pipelined(trips: int) -> Kernel:
    """Tiles go through three engines, each a turn behind the one before it."""
    t, u, v = (replace(buffer(n, (128, 512)), copies=3) for n in "tuv")
    body = (
        Alloc(buffer=t),
        op("memset", dst=view(t), value=0.0),
        Alloc(buffer=u),
        op("tensor_copy", "scalar", dst=view(u), src=view(t)),
        Alloc(buffer=v),
        op("tensor_copy", "gpsimd", dst=view(v), src=view(u)),
    )
    made = replace(loop("i", trips, *body), delays=(0, 0, 1, 1, 3, 3))
    return kernel((t, u, v), made, alloc=False)


KERNELS = {
    "pipelined": pipelined(300),
    "loads inside": inner_loads("a", (256, 4096, 1024), BFLOAT16, 2),
    "single buffer": inner_loads("b", (256, 4096, 1024), FLOAT32, 1),
    "resident": resident("c", (4096, 1024, 2048), BFLOAT16, 2),
    "one accumulator": resident("d", (4096, 1024, 1024), BFLOAT16, 1),
    "streamed": streamed("e", (1024, 1024, 16384), BFLOAT16),
    "blocked": blocked("f", (1024, 1024, 16384), FLOAT32, (2, 1)),
    "partial sums": accumulated("g", (2048, 16384, 1024), FLOAT32),
    "relay": relay(200),
}


@pytest.mark.parametrize("name", KERNELS)
def test_extrapolation_changes_no_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(KERNELS[name], target=TRN2)
    monkeypatch.setattr(loops, "SMALL", 1 << 40)
    full = estimate(made)
    monkeypatch.setattr(loops, "SMALL", 64)
    quick = estimate(made)
    assert len(quick.events) < len(full.events)
    assert any(e.reason is Reason.STEADY for e in quick.events)
    assert quick.latency_ns == pytest.approx(full.latency_ns, rel=0.01)
    assert quick.instructions == full.instructions == count(made).instructions
    for engine, busy in full.busy_ns.items():
        assert quick.busy_ns[engine] == pytest.approx(busy, rel=1e-6), engine


def test_a_million_iterations_take_well_under_five_seconds() -> None:
    x, out = buffer("x", (1000000, 128, 64), "input"), buffer("out", (1000000, 128, 64), "output")
    tile, done = (replace(buffer(n, (128, 64)), copies=3) for n in ("tile", "done"))
    row = at(var("i"), 1)
    body = (
        Alloc(buffer=tile),
        op("dma_copy", dst=view(tile), src=view(x, row)),
        Alloc(buffer=done),
        op("activation", dst=view(done), op="exp", data=view(tile)),
        op("dma_copy", dst=view(out, row), src=view(done)),
    )
    made = kernel((x, out), loop("i", 1000000, *body))
    made = replace(made, buffers={**made.buffers, "tile": tile, "done": done})
    begun = time.process_time()
    found = estimate(made, TRN2)
    assert time.process_time() - begun < 2.0
    assert found.instructions == 3000000
    assert found.busy_share["dma"] <= 1.0
    # Rows of 256 bytes: 58 ns per descriptor, 8 rows per ring, in and out.
    assert found.latency_ns >= 1e6 * 2 * (8 * 58 + 26)
    assert found.latency_ns == pytest.approx(1e6 * 2 * (8 * 58 + 26), rel=0.5)


def test_lanes_of_unequal_pace_are_not_extrapolated_past_their_meeting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loads run ahead of a slow engine until it, given less work, would catch up with them."""
    x = buffer("x", (600, 128, 512), "input")
    held = buffer("held", (128, 80, 512))
    out = buffer("out", (128, 80, 1))
    loads = loop(
        "i",
        80,
        op(
            "dma_copy",
            dst=view(held, at(0, 128), at(var("i"), 1)),
            src=view(x, at(var("i"), 1)),
        ),
        op(
            "tensor_reduce",
            dst=view(out, at(0, 128), at(var("i"), 1)),
            op="maximum",
            data=view(held, at(0, 128), at(var("i"), 1)),
            num_axes=1,
        ),
    )
    made = kernel((x, held, out), loads)
    full = estimate(made, TRN2)
    monkeypatch.setattr(loops, "SMALL", 16)
    quick = estimate(made, TRN2)
    assert len(quick.events) < len(full.events)
    assert quick.latency_ns == pytest.approx(full.latency_ns, rel=0.01)


def test_triangular_loops_are_counted_and_timed() -> None:
    t = buffer("t", (128, 512))
    inner = loop("j", var("i", const=1), op("memset", dst=view(t), value=0.0))
    found = estimate(kernel((t,), loop("i", 100, inner)), TRN2)
    assert found.instructions == 5050
    gap = TRN2.engines["vector"].gap_ns
    assert found.latency_ns == pytest.approx(5050 * (512 / 0.96 + gap), rel=1e-3)


def test_an_empty_loop_takes_no_time() -> None:
    t = buffer("t", (128, 8))
    made = kernel((t,), loop("i", 0, op("memset", dst=view(t), value=0.0)))
    found = estimate(made, TRN2)
    assert (found.latency_ns, found.instructions, found.critical_path) == (0.0, 0, ())
    assert found.busy_share == dict.fromkeys(found.busy_ns, 0.0)
