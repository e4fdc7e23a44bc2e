"""The functional simulator on small whole kernels."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import ArgumentError, SimulationError
from nkigen_cp.ir.nki.kernel import Affine, Alloc, Kernel, Statement
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.simulate import run
from nkigen_cp.targets import TRN1, TRN2
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view

RNG = np.random.default_rng(3)


def gemm(k_tiles: int, n_tiles: int, dtype: str = "float32") -> Kernel:
    """C(128, n*512) = A(k*128, 128).T @ B(k*128, n*512), loops over both."""
    k, n = 128 * k_tiles, 512 * n_tiles
    a, b = buffer("a", (k, 128), "input", dtype), buffer("b", (k, n), "input", dtype)
    c = buffer("c", (128, n), "output", dtype)
    at_tile = buffer("at", (128, 128), "sbuf", dtype, tensor="a")
    b_tile = buffer("bt", (128, 512), "sbuf", dtype, copies=2)
    sums, out = buffer("sums", (128, 512), "psum"), buffer("out", (128, 512), "sbuf", dtype)
    row, column = at(var("k", 128), 128), at(var("n", 512), 512)
    inner: list[Statement] = [
        Alloc(buffer=at_tile),
        Alloc(buffer=b_tile),
        op("dma_copy", dst=view(at_tile), src=view(a, row)),
        op("dma_copy", dst=view(b_tile), src=view(b, row, column)),
        op(
            "nc_matmul",
            dst=view(sums),
            stationary=view(at_tile),
            moving=view(b_tile),
            accumulate=var("k"),
        ),
    ]
    outer: list[Statement] = [
        Alloc(buffer=sums),
        Alloc(buffer=out),
        loop("k", k_tiles, *inner),
        op("tensor_copy", dst=view(out), src=view(sums)),
        op("dma_copy", dst=view(c, at(0, 128), column), src=view(out)),
    ]
    return kernel((a, b, c, at_tile, b_tile, sums, out), loop("n", n_tiles, *outer), alloc=False)


def test_tiled_matmul_accumulates_over_its_loop() -> None:
    made = gemm(3, 2)
    verify_kernel(made, TRN2)
    a: Any = RNG.standard_normal((384, 128)).astype(np.float32)
    b = RNG.standard_normal((384, 1024)).astype(np.float32)
    got = run(made, [a, b], TRN2).outputs
    np.testing.assert_allclose(got[0], a.T @ b, rtol=1e-4, atol=1e-4)


def test_watch_returns_the_last_contents_in_the_stored_dtype() -> None:
    made = gemm(2, 1, "bfloat16")
    a = RNG.standard_normal((256, 128)).astype(ml_dtypes.bfloat16)
    b = RNG.standard_normal((256, 512)).astype(ml_dtypes.bfloat16)
    (watched,) = run(made, [a, b], TRN2, watch=["a"]).watched
    assert (watched.tensor, watched.buffer) == ("a", "at")
    np.testing.assert_array_equal(watched.value, a[128:])


X, Y = buffer("x", (4, 6), "input"), buffer("y", (4, 6), "output")
T, U = buffer("t", (4, 6)), buffer("u", (4, 6))
LOAD = op("dma_copy", dst=view(T), src=view(X))
STORE = op("dma_copy", dst=view(Y), src=view(T))
ONES = np.ones((4, 6), np.float32)


def test_reading_what_nobody_wrote_is_an_error() -> None:
    half = op("dma_copy", dst=view(T, at(0, 4), at(0, 3)), src=view(X, at(0, 4), at(0, 3)))
    with pytest.raises(SimulationError, match="dma_copy on dma reads buffer 't', where 12 of"):
        run(kernel((X, Y, T), half, STORE), [ONES], TRN2)


def test_a_fresh_buffer_per_iteration_forgets() -> None:
    filled = op("memset", dst=view(T, at(var("i"), 1)), value=1.0)
    body = loop("i", 4, Alloc(buffer=T), filled, op("tensor_copy", dst=view(U), src=view(T)))
    made = kernel((Y, T, U), Alloc(buffer=U), body, alloc=False)
    with pytest.raises(SimulationError, match="at i=0 reads buffer 't'"):
        run(made, [], TRN2)


def test_an_output_left_unwritten_is_an_error() -> None:
    half = op("dma_copy", dst=view(Y, at(0, 2)), src=view(T, at(0, 2)))
    with pytest.raises(SimulationError, match="12 of the 24 elements of output 'y'"):
        run(kernel((X, Y, T), LOAD, half), [ONES], TRN2)


def test_a_view_outside_its_buffer_is_an_error() -> None:
    away = op("tensor_copy", dst=view(U), src=view(T, at(0, 4), at(3, 6)))
    with pytest.raises(SimulationError, match=r"addresses 3\.\.8 of dim 1"):
        run(kernel((X, Y, T, U), LOAD, away), [ONES], TRN2)


def test_accumulating_onto_fresh_psum_is_an_error() -> None:
    sums = buffer("sums", (6, 6), "psum")
    add = op("nc_matmul", dst=view(sums), stationary=view(T), moving=view(T), accumulate=True)
    with pytest.raises(SimulationError, match="reads buffer 'sums'"):
        run(kernel((X, Y, T, sums), LOAD, add), [ONES], TRN2)


def test_registers_must_be_reset_before_they_are_read() -> None:
    chained = op(
        "activation", dst=view(T), op="exp", data=view(T), reduce_op="add", reduce_cmd="reduce"
    )
    with pytest.raises(SimulationError, match="accumulator registers of engine 'scalar'"):
        run(kernel((X, Y, T), LOAD, chained, STORE), [ONES], TRN2)


def test_registers_chain_over_instructions() -> None:
    total = buffer("total", (4, 1))
    out = buffer("z", (4, 1), "output")

    def half(start: int, command: str, **more: Any) -> Statement:
        piece = view(T, at(0, 4), at(start, 3))
        options = {"op": "square", "reduce_op": "add", "reduce_cmd": command} | more
        return op("activation", dst=piece, data=piece, **options)

    made = kernel(
        (X, T, total, out),
        LOAD,
        half(0, "reset_reduce"),
        half(3, "reduce", reduce_res=view(total)),
        op("dma_copy", dst=view(out), src=view(total)),
    )
    got = run(made, [2 * ONES], TRN2).outputs[0]
    np.testing.assert_array_equal(got, np.full((4, 1), 24.0))


def test_inputs_outside_a_functions_range_warn() -> None:
    sine = op("activation", dst=view(T), op="sin", data=view(T), scale=4.0)
    got = run(kernel((X, Y, T), LOAD, sine, STORE), [ONES], TRN2)
    assert len(got.warnings) == 1
    assert "applies sin to 24 elements" in got.warnings[0]


def test_mutated_outputs_follow_the_outputs() -> None:
    made = kernel((X, Y, T), LOAD, STORE)
    made = replace(made, outputs=(), mutated_outputs={"y": "x"})
    np.testing.assert_array_equal(run(made, [ONES], TRN2).outputs[0], ONES)


def test_bound_inputs_come_with_the_kernel() -> None:
    made = replace(kernel((X, Y, T), LOAD, STORE), inputs=(), bound_inputs={"x": ONES})
    np.testing.assert_array_equal(run(made, [], TRN2).outputs[0], ONES)


def test_a_scalar_argument_fills_a_shape_of_one() -> None:
    one, out = buffer("one", (1,), "input"), buffer("out", (1,), "output")
    made = kernel((one, out), op("dma_copy", dst=view(out), src=view(one)))
    assert run(made, [np.float32(5)], TRN2).outputs[0] == [5.0]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ([], "takes 1 arrays"),
        ([ONES[:2]], r"shape \(2, 6\).*takes \(4, 6\) float32"),
        ([ONES.astype(np.float64)], "dtype float64"),
    ],
)
def test_wrong_arguments_are_refused(arrays: list[Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        run(kernel((X, Y, T), LOAD, STORE), arrays, TRN2)


def test_another_target_is_refused() -> None:
    with pytest.raises(ArgumentError, match="lowered for target 'trn2', not 'trn1'"):
        run(kernel((X, Y, T), LOAD, STORE), [ONES], TRN1)


def test_more_memory_than_the_target_has_is_an_error() -> None:
    big = buffer("big", (128, 60000))
    with pytest.raises(SimulationError, match="needs 240000 bytes of SBUF"):
        run(kernel((big,), op("memset", dst=view(big), value=0.0)), [], TRN2)


def test_caller_arrays_stay_untouched() -> None:
    array: Any = np.ones((4, 6), np.float32)
    got = run(kernel((X, Y, T), LOAD, op("memset", dst=view(T), value=0.0), STORE), [array], TRN2)
    assert (array == 1).all()
    assert (got.outputs[0] == 0).all()


def test_triangular_loops_run_as_written() -> None:
    touched = op("memset", dst=view(T, at(var("i"), 1), at(var("j"), 1)), value=1.0)
    made = kernel(
        (Y, T),
        op("memset", dst=view(T), value=0.0),
        loop("i", 4, loop("j", var("i", 1, 1), touched)),
        STORE,
    )
    np.testing.assert_array_equal(run(made, [], TRN2).outputs[0], np.tri(4, 6))


def test_affine_offsets_follow_the_loop() -> None:
    counted = op(
        "iota",
        dst=view(T, at(0, 4), at(var("j"), 1)),
        pattern=((0, 1),),
        channel_multiplier=1,
        offset=var("j", 10),
    )
    made = kernel((Y, T), loop("j", 6, counted), STORE)
    want = np.arange(4)[:, None] + 10 * np.arange(6)
    np.testing.assert_array_equal(run(made, [], TRN2).outputs[0], want)


def test_a_thousand_large_instructions_are_quick() -> None:
    wide = buffer("wide", (128, 1024), "sbuf", "bfloat16")
    made = kernel(
        (wide,),
        op("memset", dst=view(wide), value=1.0),
        loop(
            "i",
            Affine(const=500),
            op("tensor_tensor", dst=view(wide), data1=view(wide), data2=view(wide), op="maximum"),
        ),
    )
    start = time.perf_counter()
    run(made, [], TRN2)
    # About 0.4 s on an idle core; the margin is for busy machines.
    assert time.perf_counter() - start < 6
