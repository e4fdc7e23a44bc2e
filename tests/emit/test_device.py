"""Device loops: that they compute the same, which loops may be one, and what is peeled off."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nkigen_cp as cp
from nkigen_cp.emit import choose, emit_nki
from nkigen_cp.emit.device import Choice, Condition, Part, parts
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Affine, Alloc, Kernel, LoopTerm, Memory
from tests.emit import kernels
from tests.emit.conftest import Judge
from tests.emit.kernels import buffer, call, dma, kernel, loop, psum, sbuf, var, view

Case = tuple[Callable[[], Kernel], Callable[..., Any]]


def long_contraction() -> Kernel:
    """at (640, 128), b (640, 256) bfloat16 -> at.T @ b, one accumulator carried through k."""
    at = buffer("at", (640, 128), Memory.INPUT, "bfloat16")
    b = buffer("b", (640, 256), Memory.INPUT, "bfloat16")
    out = buffer("out", (128, 256), Memory.OUTPUT)
    a_sb, b_sb = sbuf("a_sb", 128, 128, of="bfloat16"), sbuf("b_sb", 128, 256, of="bfloat16")
    acc, res = psum("acc", 128, 256), sbuf("res", 128, 256)
    rows = (var("k", 128), 128)
    step = (
        *(Alloc(buffer=a_sb), dma(view(a_sb), view(at, rows))),
        *(Alloc(buffer=b_sb), dma(view(b_sb), view(b, rows))),
        call(
            "nc_matmul",
            "tensor",
            dst=view(acc),
            stationary=view(a_sb),
            moving=view(b_sb),
            accumulate=var("k"),
        ),
    )
    return kernel(
        "long_contraction",
        (at, b),
        (out,),
        *(Alloc(buffer=acc), loop("k", 5, *step), Alloc(buffer=res)),
        *(call("tensor_copy", dst=view(res), src=view(acc)), dma(view(out), view(res))),
    )


def _contract(at: Any, b: Any) -> Any:
    return at.astype(np.float32).T @ b.astype(np.float32)


def rotating(copies: int = 2) -> Kernel:
    """x (128, 7 * 100 + 3) -> 2 * x without the last 3 columns, tiles taking turns.

    The loop starts above zero, and 7 iterations are no multiple of the copies.
    """
    x = buffer("x", (128, 703), Memory.INPUT)
    out = buffer("out", (128, 700), Memory.OUTPUT)
    t = dataclasses.replace(sbuf("t", 128, 100), copies=copies)
    columns = (var("c", 100, -200), 100)
    body = (
        *(Alloc(buffer=t), dma(view(t), view(x, None, columns))),
        call("tensor_tensor", dst=view(t), data1=view(t), data2=view(t), op="add"),
        dma(view(out, None, columns), view(t)),
    )
    return kernel("rotating", (x,), (out,), loop("c", 9, *body, lower=2))


def chunks() -> Kernel:
    """x (512, 96) -> out (512, 2, 48) with halves swapped, by chunks of a tile on chip.

    Rows move by 128 in HBM and by one chunk on chip: two strides for one register.
    """
    x = buffer("x", (512, 96), Memory.INPUT)
    out = buffer("out", (512, 2, 48), Memory.OUTPUT)
    t, y = sbuf("t", 128, 4, 96), sbuf("y", 128, 4, 2, 48)
    rows, halves = (var("r", 128), 128), (view(t, None, var("r"), (48, 48)), (0, 48))
    swap = (
        dma(view(t, None, var("r")), view(x, rows)),
        call("tensor_copy", dst=view(y, None, var("r"), 0), src=halves[0]),
        call("tensor_copy", dst=view(y, None, var("r"), 1), src=view(t, None, var("r"), halves[1])),
        dma(view(out, rows), view(y, None, var("r"))),
    )
    return kernel("chunks", (x,), (out,), Alloc(buffer=t), Alloc(buffer=y), loop("r", 4, *swap))


def _triangle(x: Any) -> Any:
    piece = np.arange(512) // 32
    return np.where(piece % 4 <= piece // 4, x, 0).astype(np.float32)


def _gemm(at: Any, b: Any) -> Any:
    return _contract(at, b).astype(ml_dtypes.bfloat16)


def _add(x: Any, y: Any) -> Any:
    return x + y


def _doubled(x: Any) -> Any:
    return 2 * x[:, :700]


def _swapped(x: Any) -> Any:
    return np.stack([x[:, 48:], x[:, :48]], axis=1)


CASES: dict[str, Case] = {
    "vadd": (kernels.vadd, _add),
    "matmul": (kernels.matmul, _gemm),
    "long_contraction": (long_contraction, _contract),
    "rotating": (rotating, _doubled),
    "rotating by three": (lambda: rotating(3), _doubled),
    "chunks": (
        chunks,
        _swapped,
    ),
    "triangle": (kernels.triangle, _triangle),
}


@pytest.mark.parametrize("case", CASES)
def test_device_loops_compute_the_same(case: str, judge: Judge) -> None:
    build, reference = CASES[case]
    made = build()
    source = emit_nki(made, loops="device")
    assert "nl.fori_loop(0, " in source
    assert max(map(len, source.splitlines())) <= 100
    assert source == emit_nki(build(), loops="device")
    generator = np.random.default_rng(3)
    buffers = [made.buffers[name] for name in made.inputs]
    inputs = [generator.standard_normal(b.shape).astype(b.dtype.numpy) for b in buffers]
    report = judge(source, inputs, [reference(*inputs)])
    if report is not None:
        stats = report["stats"]
        branches = stats["by_function"]["loop_branch"]
        assert stats["instructions"] - branches == cp.count(made).instructions


def test_the_first_iteration_of_an_accumulation_is_peeled() -> None:
    source = emit_nki(long_contraction(), loops="device")
    first, rest = source.split("def each_k(k_r):")
    assert "for k in range(1):" in first
    assert "accumulate=(k > 0)" in first
    assert "accumulate=True" in rest
    assert "# On the device: k is 1 + k_r / 128." in source
    assert "nl.fori_loop(0, 512, each_k, step=128)" in rest


def test_copies_take_turns_inside_a_trip() -> None:
    source = emit_nki(rotating(), loops="device")
    assert "nl.fori_loop(0, 600, each_c, step=200)" in source
    assert "for c_t in range(2):" in source
    assert 'name=f"t_c_t{c_t}"' in source
    assert "for c in range(8, 9):" in source


def test_a_register_counts_what_every_view_can_use() -> None:
    source = emit_nki(chunks(), loops="device")
    assert "nl.fori_loop(0, 4, each_r)" in source
    assert "x_v = x.reshape((4, 12288))" in source
    assert "t.ap(pattern=[[384, 128], [1, 48]], offset=48, scalar_offset=r_r, indirect_dim=1)" in (
        re.sub(r",\s+", ", ", source)
    )


def test_loops_that_stay_say_why() -> None:
    text = emit_nki(kernels.triangle(), loops="device")
    assert "# unrolled: the trips of loop 'j' depend on it" in text
    assert "# unrolled: it may have no iteration" in text


def _moving(dst_start: Affine, *, partition: bool = False, trips: int = 4) -> Kernel:
    """One copy per iteration from a tile to another."""
    x = buffer("x", (128, 64), Memory.INPUT)
    out = buffer("out", (128, 64), Memory.OUTPUT)
    t, y = sbuf("t", 128, 64), sbuf("y", 128, 64)
    window = ((dst_start, 16),) if partition else (None, (dst_start, 16))
    return kernel(
        "moving",
        (x,),
        (out,),
        *(Alloc(buffer=t), Alloc(buffer=y), dma(view(t), view(x))),
        loop(
            "i",
            trips,
            call("tensor_copy", dst=view(y, *window), src=view(t, *window)),
        ),
        dma(view(out), view(y)),
    )


def _index_of_the_loop() -> Kernel:
    t = sbuf("t", 128, 4, of="int32")
    iota = call(
        "iota", "gpsimd", dst=view(t), pattern=((1, 4),), channel_multiplier=0, offset=var("i")
    )
    return kernel("numbers", (), (), Alloc(buffer=t), loop("i", 4, iota))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (_moving(var("i", 32), partition=True), "partitions of 'y' depend on it"),
        (_moving(var("i", -16, 48)), "a view of 'y' moves backwards"),
        (_moving(var("i", 16), trips=1), "it has 1 iterations and too few of them are alike"),
        (_index_of_the_loop(), "offset of a iota depends on it"),
    ],
)
def test_what_only_the_compiler_can_know_keeps_a_loop_in_python(made: Kernel, reason: str) -> None:
    assert emit_nki(made, loops="device") == emit_nki(made, loops="unrolled")
    nests = choose.survey(made.body, made.buffers)
    assert nests["i"].choice() == reason


def test_nested_loops_with_one_view_need_two_registers() -> None:
    source = emit_nki(kernels.matmul(), loops="device")
    assert "Loops on the device: m;" in source
    assert "# unrolled: views of 'out' move with it and with 'm': two registers" in source


@pytest.mark.parametrize("name", ["b", "tile"])
def test_what_a_nested_loop_carries_keeps_it_in_python(name: str) -> None:
    x = buffer("x", (512, 64), Memory.INPUT)
    out = buffer("out", (512, 64), Memory.OUTPUT)
    t, total = sbuf("t", 128, 64), sbuf("total", 128, 64)
    rows = (var("a", 128), 128)
    add = call("tensor_tensor", dst=view(total), data1=view(total), data2=view(t), op="add")
    copy = call("tensor_copy", dst=view(total), src=view(t))
    inner = (add,) if name == "b" else (Alloc(buffer=total), copy)
    outer = (
        *(Alloc(buffer=t), dma(view(t), view(x, rows))),
        *((Alloc(buffer=total), copy) if name == "b" else ()),
        loop("b", 4, *inner),
        dma(view(out, rows), view(total if name == "b" else t)),
    )
    source = emit_nki(kernel("carry", (x,), (out,), loop("a", 4, *outer)), loops="device")
    carried = "# unrolled: 'b' carries 'total', which nested device loops cannot"
    assert (carried in source) == (name == "b")
    assert ("def each_b(" in source) == (name != "b")


def _many(trips: int) -> Kernel:
    """1,000 copies and two moves per iteration."""
    x = buffer("x", (128 * trips, 64), Memory.INPUT)
    out = buffer("out", (128 * trips, 64), Memory.OUTPUT)
    t = sbuf("t", 128, 64)
    rows = (var("r", 128), 128)
    piece = view(t, None, (var("c", 16), 16))
    again = loop("n", 250, loop("c", 4, call("tensor_copy", dst=piece, src=piece)))
    body = (Alloc(buffer=t), dma(view(t), view(x, rows)), again, dma(view(out, rows), view(t)))
    return kernel("many", (x,), (out,), loop("r", trips, *body))


def test_auto_unrolls_up_to_the_limit() -> None:
    fits, exceeds = choose.UNROLLED_LIMIT // 1002, choose.UNROLLED_LIMIT // 1002 + 1
    assert emit_nki(_many(fits)) == emit_nki(_many(fits), loops="unrolled")
    source = emit_nki(_many(exceeds))
    assert "Loops on the device: r; all others are unrolled." in source
    # Loops that need not be device loops give no reason.
    assert "# unrolled" not in source
    assert "fori_loop" not in emit_nki(_many(exceeds), loops="unrolled")


def test_auto_prefers_addresses_that_engines_know() -> None:
    made = _many(2000)
    nests = choose.survey(made.body, made.buffers)
    assert nests["c"].chip_moves == 2 * 2000 * 1000
    assert choose.choose(made, "auto").device == ("r",)


@pytest.mark.parametrize("loops", choose.LOOPS)
def test_source_does_not_grow_with_trip_counts(loops: str) -> None:
    lengths = {len(emit_nki(_many(t), loops=loops).splitlines()) for t in (2000, 20_000)}
    assert len(lengths) == 1


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ArgumentError, match="loops='fast' is not one of auto, unrolled, device"):
        emit_nki(kernels.vadd(), loops="fast")
    with pytest.raises(ArgumentError, match="addresses='mine' is not one of auto, plan"):
        emit_nki(kernels.vadd(), addresses="mine")


@settings(max_examples=200, deadline=None)
@given(
    lower=st.integers(-3, 3),
    trips=st.integers(1, 12),
    unroll=st.integers(1, 3),
    stride=st.integers(-3, 3).filter(bool),
    const=st.integers(-9, 9),
    inner=st.integers(1, 4),
)
def test_a_condition_is_the_same_in_all_iterations_on_the_device(
    lower: int, trips: int, unroll: int, stride: int, const: int, inner: int
) -> None:
    terms = (LoopTerm(var="i", stride=stride), LoopTerm(var="j", stride=1))
    value = Affine(const=const, terms=terms)
    nest = loop("i", lower + trips, loop("j", inner), lower=lower)
    condition = Condition(value=value, inner=(loop("j", inner),))
    found = parts(nest, Choice(scale=1, unroll=unroll, conditions=(condition,)), ())

    def members(part: Part) -> range:
        return range(part.lower.const, part.upper.const)

    assert [i for part in found for i in members(part)] == list(range(lower, lower + trips))
    for part in found:
        if part.on_device:
            truths = {
                value.value({"i": i, "j": j}) > 0 for i in members(part) for j in range(inner)
            }
            assert len(truths) == 1
            assert len(members(part)) % part.unroll == 0
    # Nothing stays in Python without need: single trips, remainders and what is undecided.
    undecided = [
        i
        for i in range(lower, lower + trips)
        if len({value.value({"i": i, "j": j}) > 0 for j in range(inner)}) > 1
    ]
    kept = sum(len(members(part)) for part in found if not part.on_device)
    assert kept <= len(undecided) + 2 * (2 * unroll - 1)
