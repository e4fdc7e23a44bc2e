"""Executed instructions and HBM bytes."""

from __future__ import annotations

from nkigen_cp.ir.nki.kernel import Kept, Repeat
from nkigen_cp.simulate import count
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view
from tests.simulate.test_run import gemm


def test_loops_are_multiplied_out() -> None:
    got = count(gemm(3, 2))
    assert got.by_kind == {"dma_copy": 14, "nc_matmul": 6, "tensor_copy": 2}
    assert got.by_engine == {"dma": 14, "tensor": 6, "vector": 2}
    assert got.instructions == 22


def test_traffic_against_the_compulsory() -> None:
    got = count(gemm(3, 2))
    a, b, c = 384 * 128 * 4, 384 * 1024 * 4, 128 * 1024 * 4
    assert got.hbm_read_bytes == 2 * a + b
    assert got.hbm_written_bytes == c
    assert got.compulsory_bytes == a + b + c
    assert got.ratio == (2 * a + b + c) / (a + b + c)


def test_affine_bounds_are_respected() -> None:
    t = buffer("t", (4, 4))
    body = op("memset", dst=view(t), value=0.0)
    made = kernel((t,), loop("i", 5, loop("j", var("i"), loop("k", 2, body))))
    assert count(made).instructions == 2 * (0 + 1 + 2 + 3 + 4)


def test_a_broadcast_counts_every_byte_it_moves_at_the_wider_side() -> None:
    row, tile = buffer("row", (1, 16), "input", "bfloat16"), buffer("tile", (128, 16))
    spread = view(row, at(0, 1), dims=[Repeat(size=128), Kept(dim=1)])
    got = count(kernel((row, tile), op("dma_copy", dst=view(tile), src=spread)))
    assert (got.hbm_read_bytes, got.hbm_written_bytes) == (128 * 16 * 4, 0)
    assert got.compulsory_bytes == 32


def test_copies_inside_hbm_count_on_both_sides() -> None:
    x, y = buffer("x", (8, 8), "input"), buffer("y", (8, 8), "output")
    got = count(kernel((x, y), op("dma_copy", dst=view(y), src=view(x))))
    assert (got.hbm_read_bytes, got.hbm_written_bytes, got.hbm_bytes) == (256, 256, 512)


def test_copies_on_chip_move_no_hbm_bytes() -> None:
    t, u = buffer("t", (8, 8)), buffer("u", (8, 8))
    got = count(kernel((t, u), op("dma_copy", dst=view(u), src=view(t))))
    assert (got.hbm_bytes, got.ratio) == (0, 0.0)
