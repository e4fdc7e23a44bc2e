"""Views, loops and the cost function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nkigen_cp.errors import SimulationError
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns, instruction_cost_ns
from nkigen_cp.ir.nki.kernel import Affine, Kept, Loop, Memory, Repeat
from nkigen_cp.ir.nki.loops import value_range
from nkigen_cp.ir.nki.views import Dim, free_dims, innermost_stride, run_elements, select
from nkigen_cp.targets import TRN1, TRN2
from tests.ir.nki.builder import at, buffer, op, var, view

TILE = buffer("t", (128, 4, 6, 8))


def test_adjacent_dims_merge() -> None:
    assert free_dims(view(TILE)) == (Dim(stride=1, size=192),)


def test_a_window_and_a_transpose_do_not_merge() -> None:
    window = view(TILE, at(0, 128), at(1, 2), at(0, 6), at(0, 4))
    assert free_dims(window) == (Dim(stride=8, size=12), Dim(stride=1, size=4))
    turned = view(TILE, dims=[Kept(dim=0), Kept(dim=3), Kept(dim=1), Kept(dim=2)])
    assert free_dims(turned) == (Dim(stride=1, size=8), Dim(stride=8, size=24))
    assert innermost_stride(turned) == 8
    assert run_elements(turned, on_chip=True) == 1


def test_repeat_has_stride_zero() -> None:
    spread = view(buffer("v", (4, 1)), dims=[Kept(dim=0), Repeat(size=5)])
    assert free_dims(spread) == (Dim(stride=0, size=5),)
    assert spread.result_shape == (4, 5)


def test_runs_cross_rows_only_in_hbm() -> None:
    rows = view(buffer("h", (64, 32), "input"))
    assert run_elements(rows, on_chip=False) == 2048
    assert run_elements(rows, on_chip=True) == 32


def test_select_matches_numpy_indexing() -> None:
    array: Any = np.arange(4 * 6 * 8)
    array = array.reshape(4, 48)
    pattern = view(
        buffer("h", (4, 48), "input"),
        at(var("i", 2), 1),
        at(1, 2, 3),
        at(0, 8),
        shape=(4, 6, 8),
        dims=[Kept(dim=2), Repeat(size=3), Kept(dim=1)],
    )
    got = select(array, pattern, {"i": 1})
    want = array.reshape(4, 6, 8)[2, 1:5:3].T[:, None, :].repeat(3, axis=1)
    np.testing.assert_array_equal(got, want)


def test_select_refuses_positions_outside() -> None:
    with pytest.raises(SimulationError, match=r"'t' addresses 100..131 of dim 0.*0..127"):
        select(np.zeros(TILE.shape), view(TILE, at(100, 32)), {})


def test_ranges_of_triangular_loops_are_exact() -> None:
    outer = Loop(var="i", upper=Affine(const=4), body=())
    inner = Loop(var="j", lower=var("i"), upper=Affine(const=4), body=())
    difference = var("j") + var("i", -1)
    reach = value_range(difference, (outer, inner))
    assert (reach.low, reach.high) == (0, 3)


def tile(free: int, dtype: str = "bfloat16", memory: str = "sbuf", stride: int = 1) -> OperandShape:
    return OperandShape(
        memory=Memory(memory),
        dtype=BFLOAT16 if dtype == "bfloat16" else FLOAT32,
        partitions=128,
        free_size=free,
        innermost_stride=stride,
    )


def cycles(kind: str, engine: str, *, op: str = "add", **operands: OperandShape) -> float:
    facts = TRN2.engines[engine]
    return busy_ns(TRN2, kind, engine, operands, op=op) * facts.clock_ghz


def products(**operands: OperandShape) -> float:
    facts = TRN2.engines["tensor"]
    return busy_ns(TRN2, "nc_matmul", "tensor", operands) * facts.clock_ghz


F32 = "float32"


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (512, products(stationary=tile(128), moving=tile(512), dst=tile(512, F32))),
        (64, products(stationary=tile(128), moving=tile(1), dst=tile(1, F32))),
        (512, products(stationary=tile(256), moving=tile(1024), dst=tile(512, F32))),
        (2048, products(stationary=tile(128, F32), moving=tile(512, F32), dst=tile(512, F32))),
        (128, cycles("nc_transpose", "tensor", data=tile(128))),
        (256, cycles("nc_transpose", "tensor", data=tile(128, F32))),
        (256, cycles("tensor_copy", "vector", dst=tile(1024), src=tile(1024))),
        (512, cycles("tensor_copy", "vector", dst=tile(1024), src=tile(1024, memory="psum"))),
        (512, cycles("tensor_copy", "vector", dst=tile(1024), src=tile(1024, stride=2))),
        (1024, cycles("tensor_copy", "vector", dst=tile(1024), src=tile(1024, stride=16))),
        (1024, cycles("tensor_copy", "vector", dst=tile(1024), src=tile(1024, F32))),
        (2048, cycles("tensor_copy", "scalar", dst=tile(1024), src=tile(1024, F32, stride=8))),
        (1174, cycles("tensor_copy", "gpsimd", dst=tile(1024), src=tile(1024))),
        (64, cycles("tensor_scalar", "vector", dst=tile(8), data=tile(8))),
        (
            1024,
            cycles("tensor_tensor", "vector", dst=tile(1024), data1=tile(1024), data2=tile(1024)),
        ),
        (
            2048,
            cycles(
                "tensor_tensor", "vector", dst=tile(1024), data1=tile(1024), data2=tile(1024, F32)
            ),
        ),
        (
            1024,
            cycles(
                "tensor_tensor",
                "vector",
                dst=tile(1024),
                data1=tile(1024),
                data2=tile(1024, F32, "psum"),
            ),
        ),
        (
            2198,
            cycles("tensor_tensor", "gpsimd", dst=tile(1024), data1=tile(1024), data2=tile(1024)),
        ),
        (
            2048,
            cycles(
                "scalar_tensor_tensor",
                "vector",
                dst=tile(1024),
                data=tile(1024),
                operand0=tile(1, F32),
                operand1=tile(1024),
            ),
        ),
        (8192, cycles("reciprocal", "vector", dst=tile(1024), data=tile(1024))),
        (512, cycles("tensor_reduce", "vector", dst=tile(1), data=tile(1024))),
        (1024, cycles("tensor_reduce", "vector", dst=tile(1), data=tile(1024), op="minimum")),
        (1024, cycles("tensor_reduce", "vector", dst=tile(1, F32), data=tile(1024))),
        (1024, cycles("activation", "scalar", dst=tile(1024), data=tile(1024))),
        (
            1088,
            cycles("activation", "scalar", dst=tile(1024), data=tile(1024), reduce_res=tile(1)),
        ),
        (662, cycles("iota", "gpsimd", dst=tile(512))),
        (2600, cycles("bn_aggr", "vector", dst=tile(2, F32), data=tile(600, F32))),
    ],
)
def test_documented_cycles(want: float, got: float) -> None:
    assert got == pytest.approx(want)


def test_a_bf16_matmul_takes_its_512_cycles_and_no_gap() -> None:
    operands = {"dst": tile(512, F32, "psum"), "stationary": tile(128), "moving": tile(512)}
    assert busy_ns(TRN2, "nc_matmul", "tensor", operands) == pytest.approx(213.3, abs=0.1)


def test_trn1_has_no_fast_modes() -> None:
    operands = {"dst": tile(1024), "src": tile(1024)}
    facts = TRN1.engines["vector"]
    got = busy_ns(TRN1, "tensor_copy", "vector", operands)
    assert got == pytest.approx(1024 / facts.clock_ghz)


def dma(partitions: int, free: int, run_bytes: int = 0) -> float:
    shape = OperandShape(
        memory=Memory.SBUF,
        dtype=FLOAT32,
        partitions=partitions,
        free_size=free,
        run_bytes=run_bytes,
    )
    return busy_ns(TRN2, "dma_copy", "dma", {"dst": shape, "src": shape}) - 26.0


def test_dma_reaches_peak_with_long_rows_and_full_partitions() -> None:
    assert dma(128, 4096) == pytest.approx(128 * 16384 / 368)


def test_dma_matches_the_documented_transfer_on_one_engine() -> None:
    # 4 rows of 8 KiB on one engine: 1416 ns measured (nki-dma-overview.rst, example 1).
    assert dma(4, 2048) == pytest.approx(1416, rel=0.01)


def test_short_dma_runs_cost_one_descriptor_each() -> None:
    assert dma(128, 64, run_bytes=4) == pytest.approx(128 * 64 / 16 * 58)


@given(
    kind=st.sampled_from(
        [
            ("tensor_copy", "vector", ("dst", "src")),
            ("tensor_tensor", "vector", ("dst", "data1", "data2")),
            ("activation", "scalar", ("dst", "data")),
            ("tensor_tensor", "gpsimd", ("dst", "data1", "data2")),
            ("dma_copy", "dma", ("dst", "src")),
            ("nc_matmul", "tensor", ("dst", "stationary", "moving")),
            ("nc_transpose", "tensor", ("dst", "data")),
        ]
    ),
    partitions=st.integers(1, 127),
    free=st.integers(1, 4000),
    dtype=st.sampled_from([FLOAT32, BFLOAT16]),
    grow=st.sampled_from(["partitions", "free_size"]),
)
def test_cost_never_falls_with_size(
    kind: tuple[str, str, tuple[str, ...]], partitions: int, free: int, dtype: object, grow: str
) -> None:
    name, engine, roles = kind

    def price(p: int, f: int) -> float:
        shape = OperandShape(
            memory=Memory.SBUF,
            dtype=FLOAT32 if dtype == FLOAT32 else BFLOAT16,
            partitions=p,
            free_size=f,
        )
        return busy_ns(TRN2, name, engine, dict.fromkeys(roles, shape))

    more = (partitions + 1, free) if grow == "partitions" else (partitions, free + 1)
    assert price(*more) >= price(partitions, free) - 1e-9


def test_an_instruction_costs_what_its_views_cost() -> None:
    a, b = buffer("a", (128, 1024)), buffer("b", (128, 1024), "psum")
    copied = op("tensor_copy", "scalar", dst=view(a), src=view(b))
    got = instruction_cost_ns(TRN2, copied, {"a": a, "b": b})
    assert got == busy_ns(
        TRN2, "tensor_copy", "scalar", {"dst": tile(1024, F32), "src": tile(1024, F32, "psum")}
    )


def test_a_transposing_dma_pays_per_element() -> None:
    h, s = buffer("h", (64, 128), "input"), buffer("s", (128, 64))
    turned = op("dma_copy", dst=view(s), src=view(h, dims=[Kept(dim=1), Kept(dim=0)]))
    plain = op("dma_copy", dst=view(s), src=view(h, shape=(128, 64)))
    buffers = {"h": h, "s": s}
    per_element = instruction_cost_ns(TRN2, turned, buffers) - 26
    assert per_element == pytest.approx(64 * (instruction_cost_ns(TRN2, plain, buffers) - 26))
