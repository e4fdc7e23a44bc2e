"""Every rule of single instructions, broken once by a tiny kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.access_rules import COMMON
from nkigen_cp.ir.nki.kernel import Affine, Instruction, Kept, Kernel, Repeat, Statement
from nkigen_cp.ir.nki.rules import RULES
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.targets import TRN2
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view

X = buffer("x", (128, 64), "input")
Y = buffer("y", (128, 64), "output")
A = buffer("a", (128, 64))
B = buffer("b", (128, 64))
H = buffer("h", (128, 64), kind="bfloat16")
N = buffer("n", (128, 64), kind="int32")
V = buffer("v", (128, 1))
NV = buffer("nv", (128, 1), kind="int32")
VH = buffer("vh", (128, 1), kind="bfloat16")
P = buffer("p", (128, 64), "psum")
Q = buffer("q", (128, 64), "psum")
PH = buffer("ph", (64, 128), "psum", "bfloat16")
M = buffer("m", (64, 512), "psum")
WIDE = buffer("wide", (128, 1024))
BANKS = buffer("banks", (128, 1024), "psum")
SQUARE = buffer("square", (128, 4, 4, 4, 4))
STATS = buffer("stats", (128, 6))
ROWS = buffer("rows", (128, 2, 32))
EIGHTS = buffer("eights", (128, 2, 64), kind="float8_e4m3")
HALVES = buffer("halves", (128, 2, 1024), kind="float8_e4m3")
BYTES = buffer("bytes", (128, 64), kind="uint8")
PLACES = buffer("places", (128, 64), kind="uint32")
HN = buffer("hn", (128, 64), "hbm", "int32")
ALL = (
    HN,
    PLACES,
    NV,
    X,
    Y,
    A,
    B,
    H,
    N,
    V,
    VH,
    P,
    Q,
    PH,
    M,
    WIDE,
    BANKS,
    SQUARE,
    STATS,
    BYTES,
    ROWS,
    EIGHTS,
    HALVES,
)


def whole(*body: Statement) -> Kernel:
    """A kernel whose buffers are all written first and whose output is written last."""
    fills: list[Statement] = [op("dma_copy", dst=view(A), src=view(X))]
    fills += [
        op("memset", dst=view(b), value=0.0 if b.dtype.is_float else 0)
        for b in ALL
        if b.memory.on_chip and b.name not in ("a", "m")
    ]
    fills.append(mm())
    return kernel(ALL, *fills, *body, op("dma_copy", dst=view(Y), src=view(A)))


def part(of: Any, free: int, start: int | Affine = 0) -> Any:
    return view(of, at(0, of.shape[0]), at(start, free))


def rows(of: Any, count: int, start: int | Affine) -> Any:
    return view(of, at(start, count))


def mm(**changes: Any) -> Instruction:
    args: dict[str, Any] = {
        "dst": view(M),
        "stationary": view(A),
        "moving": part(WIDE, 512),
        "accumulate": False,
    }
    return op("nc_matmul", **(args | changes))


def doubled(moving: Any) -> Instruction:
    return mm(stationary=view(EIGHTS), moving=moving, perf_mode="double_row")


def ts(engine: str = "vector", **changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "data": view(A), "op0": "add", "operand0": 1.0}
    return op("tensor_scalar", engine, **(args | changes))


def tt(engine: str = "vector", **changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "data1": view(A), "data2": view(B), "op": "add"}
    return op("tensor_tensor", engine, **(args | changes))


def picked(index: Any) -> dict[str, Any]:
    return {"dst": view(B), "src": view(X), "index": index}


def gather(**changes: Any) -> Instruction:
    return op("dma_gather", "dma", **(picked(view(NV)) | changes))


def elements(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "data": view(A), "indices": view(N)}
    return op("nc_n_gather", "gpsimd", **(args | changes))


def reduced(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(Y), "src": view(X), "replica_group": PAIR, "op": "add"}
    return op("all_reduce", "dma", **(args | changes))


def swapped(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(Y), "src": view(X), "replica_group": PAIR}
    return op("all_to_all", "dma", **(args | {"collective_dim": 0} | changes))


PAIR = ((0, 1),)
TRIPLE = ((0, 1, 2),)
PUT = {"dst": view(Y), "src": rows(B, 1, 3), "index": rows(NV, 1, 5)}


def pick(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "src": view(A), "predicate": view(BYTES)}
    return op("tensor_copy_predicated", **args | changes)


def copy(dst: Any, src: Any, engine: str = "vector") -> Instruction:
    return op("tensor_copy", engine, dst=dst, src=src)


def act(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "op": "exp", "data": view(A)}
    return op("activation", **(args | changes))


def find(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": part(PLACES, 8), "data": view(A), "vals": part(B, 8)}
    return op("nc_find_index8", **args | changes)


def replaced(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "data": view(A), "vals": part(B, 8), "imm": 0.0}
    return op("nc_match_replace8", **args | changes)


def running(**changes: Any) -> Instruction:
    args: dict[str, Any] = {"dst": view(B), "src": view(A), "op0": "add", "imm0": 0.0, "op1": "add"}
    return op("tensor_scalar_cumulative", **args | changes)


BROKEN: list[tuple[str, str, Instruction]] = [
    ("engine", "does not run on engine 'scalar'", tt("scalar")),
    ("parameters", "no parameter 'out'", op("tensor_copy", out=view(A), src=view(A))),
    ("parameters", "needs parameter 'src'", op("tensor_copy", dst=view(A))),
    ("parameters", "must be flag", ts(reverse0=1)),
    ("parameters", "allowed are add", act(reduce_op="maximum")),
    ("views", "on-chip view indexes", copy(view(A), view(B, shape=(64, 128)))),
    ("views", "first result dim", copy(view(A), view(B, dims=[Kept(dim=1), Kept(dim=0)]))),
    ("views", "drops the dims", copy(view(A), view(B, dims=[Kept(dim=0)]))),
    ("bounds", "addresses 32..95 of dim 1", copy(view(A), part(B, 64, 32))),
    ("memories", "in psum; allowed here is sbuf", copy(view(A), view(P), "gpsimd")),
    ("memories", "in psum; allowed", op("dma_copy", dst=view(A), src=view(P))),
    ("memories", "in input; allowed", op("dma_copy", dst=view(X), src=view(A))),
    ("memories", "in sbuf; allowed here is psum", mm(dst=view(A))),
    ("dtypes", "it must be float32", act(scale=view(VH))),
    ("dtypes", "it must be float32", mm(dst=view(PH))),
    ("partitions", "starts 64 partitions at partition 32", copy(rows(A, 64, 32), rows(B, 64, 0))),
    ("partitions", "allowed starts are 0, 32", copy(rows(A, 16, 16), rows(B, 16, 0))),
    ("partitions", "step must be 1", copy(view(A, at(0, 32, 2)), rows(B, 32, 0))),
    (
        "access_dims",
        "needs 4 free dims",
        copy(
            view(A),
            view(
                SQUARE,
                at(0, 128),
                at(0, 4),
                at(0, 2, 2),
                at(0, 4),
                at(0, 2, 2),
                dims=[Kept(dim=d) for d in (0, 3, 2, 1, 4)],
            ),
        ),
    ),
    (
        "single_writes",
        "broadcast view",
        copy(view(V, dims=[Kept(dim=0), Repeat(size=64)]), view(A)),
    ),
    ("same_shape", "is 128x32 but dst", copy(view(A), part(B, 32))),
    ("same_elements", "writes 8192 elements", op("dma_copy", dst=view(A), src=part(X, 32))),
    ("matmul_shape", "stationary free size 512", mm(stationary=part(WIDE, 512))),
    ("matmul_shape", "moving free size 1024", mm(moving=view(WIDE))),
    ("matmul_shape", "contracts 64 partitions", mm(stationary=rows(A, 64, 0))),
    ("matmul_shape", "it must be 64x256", mm(moving=part(WIDE, 256))),
    ("double_row", "it must be (K, 2, columns)", mm(perf_mode="double_row")),
    ("double_row", "allowed: float8_e4m3", mm(stationary=view(ROWS), perf_mode="double_row")),
    ("matmul_shape", "it must be 64x256", doubled(view(HALVES, at(0, 128), at(0, 2), at(0, 256)))),
    ("matmul_shape", "moving free size 1024", doubled(view(HALVES))),
    ("matmul_dtypes", "float32 pairs only", mm(stationary=view(H))),
    ("matmul_dtypes", "is int32", mm(stationary=view(N))),
    (
        "psum_bank",
        "within one PSUM bank",
        mm(dst=part(BANKS, 512, 256), stationary=part(WIDE, 128)),
    ),
    ("transpose_shape", "at most 128x128", op("nc_transpose", dst=view(PH), data=view(WIDE))),
    ("transpose_shape", "must be 64x128", op("nc_transpose", dst=view(P), data=view(A))),
    ("transpose_dtype", "must be equal", op("nc_transpose", dst=view(PH), data=view(A))),
    ("one_psum_input", "at most one input", tt(data1=view(P), data2=view(Q))),
    ("gathered_rows", "it must be 128x1", gather(index=view(N))),
    ("gathered_rows", "rows of 32 elements", gather(src=part(X, 32))),
    ("fetched_block", "it must be 1x1", op("dma_fetch", "dma", **picked(view(NV)))),
    ("fetched_block", "fetches 64 elements", op("dma_fetch", "dma", **picked(rows(NV, 1, 0)))),
    ("put_block", "it must be 1x1", op("dma_put", "dma", **(PUT | {"index": view(NV)}))),
    ("put_block", "puts 8192 elements", op("dma_put", "dma", **(PUT | {"src": view(B)}))),
    ("replica_groups", "ranks 0 to 1 once", reduced(replica_group=((0,), (2,)))),
    ("replica_groups", "groups of one size", reduced(replica_group=((0, 1), (2,)))),
    ("replica_groups", "groups of one size", reduced(replica_group=())),
    ("parameters", "must be replica groups", reduced(replica_group=2)),
    ("whole_buffers", "must be the whole buffer", reduced(src=part(X, 32))),
    ("whole_buffers", "float32 of int32", reduced(src=view(HN))),
    ("exchanged_shape", "it must be (256, 64)", op("all_gather", "dma", **swapped().args)),
    ("exchanged_shape", "128 positions into 3 pieces", swapped(replica_group=TRIPLE)),
    ("exchanged_shape", "along dim 1", swapped(collective_dim=1)),
    ("reduced_by", "allowed are add, maximum, minimum", reduced(op="multiply")),
    ("reduced_by", "must be a float", reduced(dst=view(HN), src=view(HN))),
    ("gathered_elements", "as many partitions", elements(data=rows(A, 64, 0))),
    ("gathered_elements", "must be equal", elements(data=view(H))),
    ("index_dtype", "allowed are int32, uint32", gather(index=view(V))),
    ("index_dtype", "allowed are int32, uint32", elements(indices=view(A))),
    ("predicate_dtype", "a predicate is bool", pick(predicate=view(N))),
    ("same_dtype", "must be equal", pick(src=view(H))),
    (
        "select_dtype",
        "not exact here",
        op(
            "select_reduce",
            dst=view(B),
            predicate=view(BYTES),
            on_true=view(N),
            on_false=0.0,
        ),
    ),
    ("vector_shape", "it must be 128x1", ts(operand0=view(A))),
    (
        "vector_shape",
        "it must be 128x1",
        act(reduce_op="add", reduce_cmd="reset_reduce", reduce_res=view(A)),
    ),
    ("vector_float32", "it must be float32", ts(operand0=view(VH))),
    ("engine_ops", "has op 'power' on engine 'vector'", tt(op="power")),
    ("engine_ops", "it has add, multiply, power", tt("gpsimd", op="subtract")),
    ("binary_ops", "takes one operand", tt(op="abs")),
    (
        "binary_op1",
        "takes one operand",
        op(
            "scalar_tensor_tensor",
            dst=view(B),
            data=view(A),
            op0="add",
            operand0=1.0,
            op1="abs",
            operand1=view(A),
        ),
    ),
    (
        "arithmetic_ops",
        "only arithmetic",
        op(
            "scalar_tensor_tensor",
            dst=view(N),
            data=view(N),
            op0="bitwise_and",
            operand0=1,
            op1="add",
            operand1=view(N),
        ),
    ),
    ("one_op_class", "mixes", ts(op1="bitwise_and", operand1=1)),
    ("bit_dtypes", "integers of one width", tt(op="bitwise_and")),
    ("bit_dtypes", "must be integers", ts(dst=view(N), data=view(N), op0="bitwise_and")),
    ("scalar_pairs", "allowed are", ts("scalar", op0="maximum")),
    ("gpsimd_rsqrt", "rsqrt alone", ts("gpsimd")),
    ("unary_operands", "must be 0", ts(op0="abs")),
    ("paired_operand", "without operand1", ts(op1="multiply")),
    ("paired_operand", "without op1", ts(operand1=1.0)),
    (
        "reduce_shape",
        "must be 128x1",
        op("tensor_reduce", dst=view(B), op="add", data=view(A), num_axes=1),
    ),
    (
        "reduce_shape",
        "allowed are 1..1",
        op("tensor_reduce", dst=view(V), op="add", data=view(A), num_axes=2),
    ),
    (
        "reducing_op",
        "reduces by 'less'",
        op("tensor_reduce", dst=view(V), op="less", data=view(A), num_axes=1),
    ),
    (
        "accumulating_op",
        "accumulates by 'subtract'",
        op(
            "tensor_scalar_reduce",
            dst=view(B),
            data=view(A),
            op0="add",
            operand0=0.0,
            reduce_op="subtract",
        ),
    ),
    ("activation_function", "applies 'prelu'", act(op="prelu")),
    ("activation_reduce", "without reduce_op", act(reduce_cmd="reset_reduce")),
    ("memset_value", "must be a whole number", op("memset", dst=view(N), value=0.5)),
    (
        "pattern_size",
        "pattern of 32 elements",
        op("iota", dst=view(N), pattern=((1, 32),), channel_multiplier=0),
    ),
    (
        "comparison",
        "compares by 'add'",
        op(
            "affine_select",
            dst=view(B),
            pattern=((1, 64),),
            channel_multiplier=0,
            on_true_tile=view(A),
            on_false_value=0.0,
            cmp_op="add",
        ),
    ),
    ("row_of_eights", "8 to 16384", op("max8", dst=part(STATS, 6), src=part(A, 6))),
    ("eights", "must be (128, 8)", op("max8", dst=part(B, 6), src=view(A))),
    ("eights", "must be (128, 8)", find(vals=part(B, 4))),
    ("replaced_shape", "must be equal", replaced(dst=part(B, 32))),
    ("place_dtype", "uint16 or uint32", find(dst=part(N, 8))),
    ("no_wide_integers", "32 bits", running(src=view(N))),
    ("folding_op1", "folds by op1 'subtract'", running(op1="subtract")),
    ("bn_stats_shape", "at most 512", op("bn_stats", dst=view(STATS), data=view(WIDE))),
    ("bn_aggr_shape", "in threes", op("bn_aggr", dst=part(STATS, 2), data=view(A))),
]


@pytest.mark.parametrize(("rule", "text", "instruction"), BROKEN)
def test_instruction_rules(rule: str, text: str, instruction: Instruction) -> None:
    with pytest.raises(KernelError) as caught:
        verify_kernel(whole(instruction), TRN2)
    assert str(caught.value).startswith(f"rule {rule!r}: {instruction.kind} on ")
    assert text in str(caught.value)


def test_every_instruction_rule_is_broken_above_and_used() -> None:
    broken = [name for name, _, _ in BROKEN]
    assert [n for n in (*COMMON, *RULES) if n not in broken] == []
    used = [name for row in INSTRUCTIONS.values() for name in row.rules]
    assert [n for n in RULES if n not in used] == [n for n in used if n not in RULES] == []


def test_legal_neighbours_of_broken_kernels_pass() -> None:
    legal = (
        mm(),
        tt(data1=view(P)),
        ts("scalar", op0="multiply", op1="add", operand1=view(V)),
        ts("gpsimd", op0="rsqrt", operand0=0),
        gather(),
        op("dma_fetch", "dma", **(picked(rows(NV, 1, 5)) | {"dst": rows(B, 1, 3)})),
        elements(),
        op("dma_copy", dst=view(Y), src=view(B)),
        op("dma_put", "dma", **PUT),
        reduced(op="minimum"),
        swapped(),
        copy(rows(A, 32, 96), rows(B, 32, 32)),
        copy(rows(A, 64, 64), rows(B, 64, 0)),
        op("nc_transpose", dst=view(PH), data=view(H)),
        op("max8", dst=part(B, 8), src=view(A)),
        find(),
        replaced(dst=view(A)),
        running(dst=view(H), op1="maximum"),
        loop("j", 2, copy(part(A, 32, var("j", 32)), part(B, 32, var("j", 32)))),
        loop("i", 4, copy(rows(A, 32, var("i", 32)), rows(B, 32, 0))),
    )
    verify_kernel(whole(*legal), TRN2)


def test_messages_name_the_graph_ops() -> None:
    named = replace(tt(op="power"), ops=("scores", "weights"))
    with pytest.raises(KernelError, match="tensor_tensor on vector of scores, weights has op"):
        verify_kernel(whole(named), TRN2)


def test_bounds_hold_in_every_iteration() -> None:
    body = copy(part(A, 32, var("j", 32)), part(B, 32))
    verify_kernel(whole(loop("j", 2, body)), TRN2)
    with pytest.raises(KernelError, match=r"addresses 0\.\.95 of dim 1"):
        verify_kernel(whole(loop("j", 3, body)), TRN2)
