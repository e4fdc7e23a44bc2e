"""Every row of the instruction table against numpy written out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import SimulationError
from nkigen_cp.ir.nki.activations import ACTIVATIONS
from nkigen_cp.ir.nki.alu import ALU
from nkigen_cp.ir.nki.numeric import contract
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.simulate.ranks import run_ranks
from nkigen_cp.targets import TRN2
from tests.ir.nki.builder import buffer, kernel, op, view
from tests.ir.nki.harness import execute, one_instruction

BF16 = ml_dtypes.bfloat16
RNG = np.random.default_rng(7)
where: Any = np.where


def data(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def single(
    kind: str, engine: str, arrays: Any, shape: Any, dtype: str = "float32", **o: Any
) -> Any:
    return one_instruction(kind, engine, arrays, {"dst": (shape, dtype)}, **o)[0]


def test_matmul_contracts_partitions() -> None:
    a, b = data(96, 64), data(96, 200)
    got = single("nc_matmul", "tensor", {"stationary": a, "moving": b}, (64, 200), accumulate=False)
    np.testing.assert_allclose(got, a.T @ b, rtol=1e-5, atol=1e-5)


def test_double_rows_contract_twice_the_partitions() -> None:
    a, b = data(96, 2, 64).astype("float8_e4m3"), data(96, 2, 200).astype("float8_e5m2")
    operands = {"stationary": a, "moving": b}
    mode = "double_row"
    got = single("nc_matmul", "tensor", operands, (64, 200), accumulate=False, perf_mode=mode)
    wide = [v.astype(np.float64).reshape(192, -1) for v in (a, b)]
    np.testing.assert_allclose(got, wide[0].T @ wide[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("depth", "rows", "columns"), [(128, 128, 512), (128, 128, 77), (3, 1, 1)])
def test_blocked_products_equal_whole_ones(depth: int, rows: int, columns: int) -> None:
    a, b = data(depth, rows), data(depth, columns)
    np.testing.assert_allclose(contract(a, b), a.T @ b, rtol=1e-4, atol=1e-4)


def test_transpose_keeps_bits() -> None:
    a = data(100, 60, dtype=BF16)
    got = single("nc_transpose", "tensor", {"data": a}, (60, 100), "bfloat16")
    np.testing.assert_array_equal(got, a.T)


@pytest.mark.parametrize("engine", ["vector", "scalar", "gpsimd"])
def test_copy_rounds_once(engine: str) -> None:
    a = data(8, 50)
    got = single("tensor_copy", engine, {"src": a}, (8, 50), "bfloat16")
    np.testing.assert_array_equal(got, a.astype(BF16))


def test_copy_rounds_to_even_and_saturates() -> None:
    a = np.array([[0.5, 1.5, 300.0, -2.0]], np.float32)
    got = single("tensor_copy", "vector", {"src": a}, (1, 4), "uint8")
    np.testing.assert_array_equal(got, np.array([[0, 2, 255, 0]], np.uint8))


def test_copy_keeps_large_integers() -> None:
    a = np.array([[2**24 + 1, -(2**31)]], np.int32)
    np.testing.assert_array_equal(single("tensor_copy", "vector", {"src": a}, (1, 2), "int32"), a)


@pytest.mark.parametrize(("value", "dtype"), [(1.5, "bfloat16"), (2**24 + 1, "int32")])
def test_memset(value: float, dtype: str) -> None:
    got = single("memset", "vector", {}, (4, 6), dtype, value=value)
    assert (got == value).all()


@pytest.mark.parametrize("op", ["add", "subtract", "multiply", "maximum", "minimum"])
def test_tensor_tensor(op: str) -> None:
    a, b = data(7, 30, dtype=BF16), data(7, 30)
    got = single("tensor_tensor", "vector", {"data1": a, "data2": b}, (7, 30), op=op)
    np.testing.assert_array_equal(got, getattr(np, op)(a.astype(np.float32), b))


def test_tensor_tensor_compares_as_numbers() -> None:
    a, b = np.array([[1, 2, 3]], np.float32), np.array([[3, 2, 1]], np.float32)
    got = single("tensor_tensor", "vector", {"data1": a, "data2": b}, (1, 3), op="greater_equal")
    np.testing.assert_array_equal(got, [[0.0, 1.0, 1.0]])


def test_gpsimd_adds_integers_exactly() -> None:
    a = np.array([[2**24 + 1, 2**31 - 1]], np.int32)
    one = np.ones_like(a)
    got = single("tensor_tensor", "gpsimd", {"data1": a, "data2": one}, (1, 2), "int32", op="add")
    np.testing.assert_array_equal(got, [[2**24 + 2, -(2**31)]])


def test_bit_operators_keep_patterns() -> None:
    a = np.array([[-1, 5]], np.int32)
    got = single(
        "tensor_scalar", "vector", {"data": a}, (1, 2), "int32", op0="right_shift", operand0=28
    )
    np.testing.assert_array_equal(got, [[15, 0]])


def test_bit_operators_take_signed_for_unsigned() -> None:
    a, b = np.array([[-1, 5]], np.int32), np.array([[0, 2**31]], np.uint32)
    got = single(
        "tensor_tensor", "vector", {"data1": a, "data2": b}, (1, 2), "uint32", op="bitwise_or"
    )
    np.testing.assert_array_equal(got, [[2**32 - 1, 2**31 + 5]])
    got = single(
        "tensor_scalar", "vector", {"data": b}, (1, 2), "int32", op0="bitwise_or", operand0=-2
    )
    np.testing.assert_array_equal(got, [[-2, -2]])


def test_tensor_scalar_two_operators_reversed() -> None:
    a, v = data(9, 20), data(9, 1)
    got = single(
        "tensor_scalar",
        "vector",
        {"data": a, "operand1": v},
        (9, 20),
        op0="subtract",
        operand0=1.0,
        reverse0=True,
        op1="multiply",
    )
    np.testing.assert_array_equal(got, (np.float32(1) - a) * v)


def test_tensor_scalar_rsqrt_on_gpsimd() -> None:
    a = np.abs(data(3, 4)) + 1
    got = single("tensor_scalar", "gpsimd", {"data": a}, (3, 4), op0="rsqrt", operand0=0)
    np.testing.assert_allclose(got, 1 / np.sqrt(a), rtol=1e-6)


def test_scalar_tensor_tensor() -> None:
    a, v, t = data(5, 8), data(5, 1), data(5, 8)
    got = single(
        "scalar_tensor_tensor",
        "vector",
        {"data": a, "operand0": v, "operand1": t},
        (5, 8),
        op0="multiply",
        op1="subtract",
        reverse1=True,
    )
    np.testing.assert_array_equal(got, t - a * v)


@pytest.mark.parametrize(
    ("op", "fold"), [("add", np.sum), ("maximum", np.max), ("minimum", np.min)]
)
def test_tensor_reduce(op: str, fold: Any) -> None:
    a = data(6, 3, 4, 5)
    got = single("tensor_reduce", "vector", {"data": a}, (6, 3), op=op, num_axes=2, negate=True)
    np.testing.assert_allclose(got, -fold(a, axis=(2, 3)), rtol=1e-5, atol=1e-6)


def test_activation_scales_shifts_and_sums() -> None:
    a, bias, scale = data(6, 40), data(6, 1), data(6, 1)
    out, sums = one_instruction(
        "activation",
        "scalar",
        {"data": a, "bias": bias, "scale": scale},
        {"dst": ((6, 40), "bfloat16"), "reduce_res": ((6, 1), "float32")},
        op="exp",
        reduce_op="add",
        reduce_cmd="reset_reduce",
    )
    want = np.exp(a * scale + bias)
    np.testing.assert_array_equal(out, want.astype(BF16))
    np.testing.assert_allclose(sums[:, 0], want.sum(axis=1), rtol=1e-5)


def test_reciprocal() -> None:
    a = data(3, 5) + 3
    np.testing.assert_array_equal(
        single("reciprocal", "vector", {"data": a}, (3, 5)), np.float32(1) / a
    )


def test_tensor_scalar_reduce() -> None:
    a = data(4, 10)
    out, most = one_instruction(
        "tensor_scalar_reduce",
        "vector",
        {"data": a},
        {"dst": ((4, 10), "float32"), "reduce_res": ((4, 1), "float32")},
        op0="multiply",
        operand0=2.0,
        reduce_op="maximum",
        negate=True,
    )
    np.testing.assert_array_equal(out, a * 2)
    np.testing.assert_array_equal(most[:, 0], -(a * 2).max(axis=1))


def test_iota_follows_pattern() -> None:
    got = single(
        "iota",
        "gpsimd",
        {},
        (3, 4),
        "int32",
        pattern=((10, 2), (1, 2)),
        channel_multiplier=100,
        offset=5,
    )
    np.testing.assert_array_equal(got[2], [205, 206, 215, 216])


def test_affine_select_masks_above_diagonal() -> None:
    a = data(4, 4)
    got = single(
        "affine_select",
        "gpsimd",
        {"on_true_tile": a},
        (4, 4),
        pattern=((-1, 4),),
        channel_multiplier=1,
        on_false_value=-9.0,
        cmp_op="greater_equal",
    )
    np.testing.assert_array_equal(got, where(np.tri(4) > 0, a, np.float32(-9)))


def test_select_reduce_takes_the_number_where_the_predicate_fails() -> None:
    a = data(4, 6)
    views = {"predicate": (a > 0).astype(np.uint8), "on_true": a}
    got = single("select_reduce", "vector", views, (4, 6), on_false=-3.0)
    np.testing.assert_array_equal(got, where(a > 0, a, -3))
    got = single("select_reduce", "vector", views, (4, 6), on_false=-3.0, reverse_pred=True)
    np.testing.assert_array_equal(got, where(a > 0, -3, a))


def test_predicated_copies_leave_the_rest_as_it_is() -> None:
    old, new = data(4, 6), -data(4, 6)
    args = {"dst": old, "src": new, "predicate": (new > 0).astype(np.uint8), "reverse_pred": False}
    got = INSTRUCTIONS["tensor_copy_predicated"].meaning(args)["dst"]
    np.testing.assert_array_equal(got, where(new > 0, new, old))
    got = INSTRUCTIONS["tensor_copy_predicated"].meaning({**args, "reverse_pred": True})["dst"]
    np.testing.assert_array_equal(got, where(new > 0, old, new))


def test_batch_norm_statistics_give_mean_and_variance() -> None:
    a = data(5, 101)
    stats = single("bn_stats", "vector", {"data": a}, (5, 6))
    got = single("bn_aggr", "vector", {"data": stats}, (5, 2))
    np.testing.assert_allclose(got[:, 0], a.mean(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[:, 1], a.var(axis=1), rtol=1e-5)


def test_dma_casts() -> None:
    a = data(3, 7)
    got = single("dma_copy", "dma", {"src": a}, (3, 7), "bfloat16")
    np.testing.assert_array_equal(got, a.astype(BF16))


# float64 references, written apart from the table.
REFERENCES: dict[str, Callable[[float], float]] = {
    "copy": lambda x: x,
    "square": lambda x: x**2,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "gelu_apprx_tanh": lambda x: x / (1 + math.exp(-1.5957691216 * (x + 0.044715 * x**3))),
    "gelu_apprx_sigmoid": lambda x: x / (1 + math.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "erf": math.erf,
    "exp": math.exp,
    "sign": lambda x: math.copysign(1.0, x),
    "abs": abs,
    "log": math.log,
    "sin": math.sin,
    "arctan": math.atan,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "reciprocal": lambda x: 1 / x,
}
DERIVATIVES = {
    "gelu_dx": "gelu",
    "gelu_apprx_sigmoid_dx": "gelu_apprx_sigmoid",
    "silu_dx": "silu",
    "erf_dx": "erf",
}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activation_functions(name: str) -> None:
    row = ACTIVATIONS[name]
    points = np.linspace(0.1 if row.restricted else -3, 1.5, 41)
    points = points[np.abs(points) > 1e-3]
    got = np.asarray(row.meaning(points.astype(np.float32)), np.float64)
    points = points.astype(np.float32).astype(np.float64)
    if name in DERIVATIVES:
        base = REFERENCES[DERIVATIVES[name]]
        want = [(base(x + 1e-5) - base(x - 1e-5)) / 2e-5 for x in points]
    else:
        want = [REFERENCES[name](x) for x in points]
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def test_unary_alu_operators_ignore_their_second_operand() -> None:
    a = np.array([1.0, 4.0], np.float32)
    assert [float(ALU[n].meaning(a, None)[1]) for n in ("abs", "reciprocal", "rsqrt")] == [
        4.0,
        0.25,
        0.5,
    ]


def test_reducing_operators_fold_rows() -> None:
    a = np.array([[1.0, 0.0, 2.0]], np.float32)
    folds = {n: float(r.reduce(a)[0]) for n, r in ALU.items() if r.reduce and not r.bits}
    assert folds == {
        "add": 3.0,
        "subtract": -1.0,
        "multiply": 0.0,
        "maximum": 2.0,
        "minimum": 0.0,
        "logical_and": 0.0,
        "logical_or": 1.0,
        "logical_xor": 0.0,
    }


@pytest.mark.parametrize(("op", "fold"), [("add", np.add), ("maximum", np.maximum)])
def test_tensor_scalar_cumulative(op: str, fold: np.ufunc) -> None:
    a, v = data(6, 3, 10), data(6, 1)
    arrays, more = {"src": a, "imm0": v}, {"op0": "multiply", "op1": op}
    got = single("tensor_scalar_cumulative", "vector", arrays, (6, 30), "bfloat16", **more)
    want = fold.accumulate(a.reshape(6, 30) * v, axis=1).astype(BF16)
    np.testing.assert_array_equal(got, want)


def test_max8_orders_and_repeats() -> None:
    a = np.array([[3, 1, 3, np.nan, 7, -np.inf, 2, 0, 7, 7]], np.float32)
    got = single("max8", "vector", {"src": a}, (1, 8))
    np.testing.assert_array_equal(got, [[7, 7, 7, 3, 3, 2, 1, 0]])


def test_nc_find_index8_gives_equal_values_places_of_their_own() -> None:
    a = np.array([[5, 1, 5, 2, 5, 9, np.nan, 0]], np.float32)
    v = np.array([[9, 5, 5, 5, 5, 2, np.nan, 0]], np.float32)
    got = single("nc_find_index8", "vector", {"data": a, "vals": v}, (1, 8), "uint32")
    none = 2**32 - 1
    np.testing.assert_array_equal(got, [[5, 0, 2, 4, none, 3, none, 7]])


def test_nc_match_replace8_replaces_as_often_as_values_are_given() -> None:
    a = np.array([[5, 1, 5, 2, 5, 9, 4, 0]], np.float32)
    v = np.array([[5, 5, 7, 9, 7, 7, 7, 7]], np.float32)
    got = single("nc_match_replace8", "vector", {"data": a, "vals": v}, (1, 8), imm=-1.0)
    np.testing.assert_array_equal(got, [[-1, 1, -1, 2, 5, -1, 4, 0]])


def _picked(kind: str, dst: Any, src: Any, index: Any) -> Any:
    """One DMA from HBM at the positions that an index in SBUF holds."""
    wide = [buffer("table", src.shape, "input"), buffer("given", index.shape, "input", "int32")]
    tile, at_ = buffer("tile", dst, "sbuf"), buffer("at", index.shape, "sbuf", "int32")
    out = buffer("out", dst, "output")
    made = kernel(
        [*wide, tile, at_, out],
        op("dma_copy", dst=view(at_), src=view(wide[1])),
        op(kind, "dma", dst=view(tile), src=view(wide[0]), index=view(at_)),
        op("dma_copy", dst=view(out), src=view(tile)),
    )
    return execute(made, [src, index])[0]


def test_rows_come_from_where_the_index_says() -> None:
    table, index = data(9, 4, 5), np.array([[8], [0], [3], [3]], np.int32)
    got = _picked("dma_gather", (4, 20), table, index)
    np.testing.assert_array_equal(got, table[[8, 0, 3, 3]].reshape(4, 20))


def test_a_block_comes_from_where_the_index_says() -> None:
    table, index = data(9, 4, 5), np.array([[7]], np.int32)
    np.testing.assert_array_equal(_picked("dma_fetch", (4, 5), table, index), table[7])


@pytest.mark.parametrize(("value", "kind"), [(9, "dma_gather"), (-1, "dma_fetch")])
def test_an_index_outside_of_the_table_is_an_error(value: int, kind: str) -> None:
    index = np.array([[value]], np.int32)
    with pytest.raises(SimulationError, match=rf"{kind}.*index {value}, .* for 9 positions"):
        _picked(kind, (1, 5), data(9, 5), index)


def test_a_block_goes_where_the_index_says() -> None:
    base, block, index = data(9, 4, 5), data(4, 5), np.array([[7]], np.int32)
    wide = [buffer("base", (9, 4, 5), "input"), buffer("given", (4, 5), "input")]
    place = buffer("place", (1, 1), "input", "int32")
    tile, at_ = buffer("tile", (4, 5)), buffer("at", (1, 1), "sbuf", "int32")
    out = buffer("out", (9, 4, 5), "output")
    made = kernel(
        [*wide, place, tile, at_, out],
        op("dma_copy", dst=view(at_), src=view(place)),
        op("dma_copy", dst=view(tile), src=view(wide[1])),
        op("dma_copy", dst=view(out), src=view(wide[0])),
        op("dma_put", "dma", dst=view(out), src=view(tile), index=view(at_)),
    )
    base[7] = block
    np.testing.assert_array_equal(execute(made, [base, block, index])[0], base)


def test_elements_come_from_where_the_indices_say() -> None:
    values, index = data(3, 6), np.array([[5, 0], [1, 1], [2, 4]], np.uint32)
    got = single("nc_n_gather", "gpsimd", {"data": values, "indices": index}, (3, 2))
    np.testing.assert_array_equal(got, np.take_along_axis(values, index.astype(int), 1))


def _exchanged(kind: str, ranks: list[Any], rows: int, **more: Any) -> list[Any]:
    """What the ranks get, in the groups (0, 2) and (3, 1)."""
    kept = ranks[0].dtype.name
    source = buffer("x", ranks[0].shape, "input", kept)
    out = buffer("y", (rows, *ranks[0].shape[1:]), "output", kept)
    args = {"dst": view(out), "src": view(source), "replica_group": ((0, 2), (3, 1)), **more}
    made = kernel([source, out], op(kind, "dma", **args))
    verify_kernel(made, TRN2)
    return [done.outputs[0] for done in run_ranks(made, [[x] for x in ranks], TRN2)]


@pytest.mark.parametrize(
    ("name", "fold"), [("add", np.add), ("maximum", np.maximum), ("minimum", np.minimum)]
)
def test_ranks_reduce(name: str, fold: Any) -> None:
    x = [data(4, 3) for _ in range(4)]
    first, second = fold(x[0], x[2]), fold(x[3], x[1])
    got = _exchanged("all_reduce", x, 4, op=name)
    np.testing.assert_array_equal(got, [first, second, first, second])
    got = _exchanged("reduce_scatter", x, 2, op=name, collective_dim=0)
    np.testing.assert_array_equal(got, [first[:2], second[2:], first[2:], second[:2]])


def test_ranks_reduce_in_float32_and_round_once() -> None:
    x = [np.full((2, 1), v, BF16) for v in (256, 0, 1.5, 0)]
    got = _exchanged("all_reduce", x, 2, op="add")
    assert [float(y[0, 0]) for y in got] == [258, 0, 258, 0]


def test_ranks_gather_and_swap() -> None:
    x = [data(4, 3, dtype=BF16) for _ in range(4)]
    got = _exchanged("all_gather", x, 8, collective_dim=0)
    for rank, group in enumerate(((0, 2), (3, 1), (0, 2), (3, 1))):
        np.testing.assert_array_equal(got[rank], np.concatenate([x[r] for r in group]))
    got = _exchanged("all_to_all", x, 4, collective_dim=0)
    np.testing.assert_array_equal(got[0], np.concatenate([x[0][:2], x[2][:2]]))
    np.testing.assert_array_equal(got[1], np.concatenate([x[3][2:], x[1][2:]]))


def test_every_instruction_has_a_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in INSTRUCTIONS if f'"{name}"' not in source] == []
