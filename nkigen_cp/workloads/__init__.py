"""The programs the compiler is tried on, by name: layers of Qwen3 models and small ops.

Names follow one rule: no suffix means 128 tokens in float32, ``_s256`` another sequence length,
``_bf16`` all array inputs in bfloat16; whole blocks and layers always carry both, and keep their
rotary tables in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.workloads import convolutions, large, moe, qwen3, small
from nkigen_cp.workloads.workload import VOCABULARY, Input, Workload

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM = 1024, 3072, 16, 8, 128
WIDTH = HEADS * HEAD_DIM
QKV_WIDTH = (HEADS + 2 * KV_HEADS) * HEAD_DIM
SEQUENCES = (128, 256, 512, 1024, 2048, 4096)
LONGEST = 8192

_DTYPES = {"f32": "float32", "bf16": "bfloat16"}
_FEEDFORWARD = (
    ("gate_up_weight", (HIDDEN, 2 * INTERMEDIATE)),
    ("down_weight", (INTERMEDIATE, HIDDEN)),
    ("gate_up_bias", (2 * INTERMEDIATE,)),
    ("down_bias", (HIDDEN,)),
)
_TRANSPOSES = (
    ("128x128", (128, 128), (1, 0)),
    ("1024x1024", (1024, 1024), (1, 0)),
    ("2048x512", (2048, 512), (1, 0)),
    ("qwenvl_1152_3_2_16_16", (1152, 3, 2, 16, 16), (0, 2, 3, 4, 1)),
    ("2_100_8_64", (2, 100, 8, 64), (0, 1, 3, 2)),
    ("headsplit_1_128_16_128", (1, 128, 16, 128), (0, 2, 1, 3)),
    ("kT_1_16_128_128", (1, 16, 128, 128), (0, 1, 3, 2)),
    ("kvcache_1_4096_8_128", (1, 4096, 8, 128), (0, 2, 1, 3)),
    ("kvT_1_8_4096_128", (1, 8, 4096, 128), (0, 1, 3, 2)),
    ("3d_rev", (64, 96, 128), (2, 1, 0)),
)
_LARGEST = (
    ("topk8_128", (128,), {"k": 8, "axis": 0}),
    ("topk1_vocab_1x37984", (1, 37984), {"k": 1, "axis": 1}),
)
_RESHAPES = (
    ((1, 128, 2048), (1, 128, 16, 128)),
    ((1152, 2, 16, 16, 3), (1152, 1536)),
    ((96, 100), (75, 128)),
)
_MATMULS = ((128, 128, 512), (512, 512, 512), *((n, n, n) for n in (1024, 2048, 4096)))


def _patterns(seq: int, dtype: str, suffix: str) -> Iterator[Workload]:
    def row(name: str, *arrays: tuple[str, tuple[int, ...]]) -> Workload:
        function = small.project if name.startswith("matmul") else getattr(qwen3, name)
        inputs = tuple(Input(arg, shape, dtype) for arg, shape in arrays)
        return Workload(name=name + suffix, function=function, inputs=inputs)

    x = ("x", (1, seq, HIDDEN))
    weight = ("weight", (HIDDEN,))
    gate_up = ("w", (HIDDEN, 2 * INTERMEDIATE))
    yield row("swiglu_act", ("g", (1, seq, INTERMEDIATE)), ("u", (1, seq, INTERMEDIATE)))
    yield row("rmsnorm", x, weight)
    yield row("layernorm", x, weight, ("bias", (HIDDEN,)))
    yield row("softmax", ("x", (1, HEADS, seq, seq)))
    yield row("matmul_gup", x, gate_up)
    yield row("matmul_gup_2d", ("x", (seq, HIDDEN)), gate_up)
    yield row("feedforward", x, *_FEEDFORWARD)
    heads = (("xq", (1, seq, HEADS, HEAD_DIM)), ("xk", (1, seq, KV_HEADS, HEAD_DIM)))
    yield row("rope", *heads, *_tables(seq))


def _tables(seq: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (("cos", (seq, HEAD_DIM // 2)), ("sin", (seq, HEAD_DIM // 2)))


def _layers(seq: int, short: str) -> Iterator[Workload]:
    dtype = _DTYPES[short]
    attention = (
        Input("hidden", (1, seq, HIDDEN), dtype),
        Input("input_layernorm_weight", (HIDDEN,), dtype),
        Input("qkv_weight", (HIDDEN, QKV_WIDTH), dtype),
        Input("o_weight", (WIDTH, HIDDEN), dtype),
        Input("q_norm_weight", (HEAD_DIM,), dtype),
        Input("k_norm_weight", (HEAD_DIM,), dtype),
        *(Input(name, shape, "float32") for name, shape in _tables(seq)),
    )
    rest = (
        Input("post_attention_layernorm_weight", (HIDDEN,), dtype),
        *(Input(name, shape, dtype) for name, shape in _FEEDFORWARD),
    )
    ending = f"_s{seq}_{short}"
    yield Workload(
        name="attention_block" + ending, function=qwen3.attention_block, inputs=attention
    )
    yield Workload(
        name="qwen3emb_layer" + ending, function=qwen3.qwen3emb_layer, inputs=(*attention, *rest)
    )


def _movement() -> Iterator[Workload]:
    for name, shape, axes in _TRANSPOSES:
        x = (Input("x", shape, "float32"),)
        static = {"axes": axes}
        yield Workload(name=f"transpose_{name}", function=small.transpose, inputs=x, static=static)
    for old, new in _RESHAPES:
        name = f"reshape_{'_'.join(map(str, old))}_to_{'_'.join(map(str, new))}"
        x = (Input("x", old, "float32"),)
        yield Workload(name=name, function=small.reshape, inputs=x, static={"shape": new})
    x = (Input("x", (1, 128, 3072), "float32"),)
    yield Workload(
        name="slice_last_half", function=small.slice_last, inputs=x, static={"stop": 1536}
    )


def _single_ops() -> Iterator[Workload]:
    square = Input("x", (1024, 1024), "float32")
    rows = Input("x", (1, 128, 1024), "float32")
    yield Workload(
        name="add_1024x1024", function=small.add, inputs=(square, square._replace(name="y"))
    )
    bias = Input("y", (1024,), "float32")
    yield Workload(name="bias_add_1_128_1024", function=small.add, inputs=(rows, bias))
    yield Workload(name="sum_axis0_1024x1024", function=small.sum_axis0, inputs=(square,))
    wide = Input("x", (128, 1024), "float32")
    yield Workload(name="argmax_128x1024", function=small.argmax_last, inputs=(wide,))
    for name, shape, static in _LARGEST:
        x = (Input("x", shape, "float32"),)
        yield Workload(name=name, function=small.topk, inputs=x, static=static)
    for m, k, n in _MATMULS:
        for short, dtype in _DTYPES.items():
            arrays = (Input("a", (m, k), dtype), Input("b", (k, n), dtype))
            yield Workload(name=f"matmul_{m}x{k}x{n}_{short}", function=small.matmul, inputs=arrays)
    for seq in (128, 256, 512, 1024):
        arrays = tuple(Input(arg, (1, HEADS, seq, HEAD_DIM), "float32") for arg in "qkv")
        yield Workload(name=f"sdpa_1_16_{seq}_128_f32", function=small.sdpa, inputs=arrays)


def _lookups() -> Iterator[Workload]:
    table = Input("table", (VOCABULARY, HIDDEN), "bfloat16")
    ids = Input("ids", (1, 128), "int32")
    yield Workload(name="embedding_gather", function=small.embedding, inputs=(table, ids))


def _all() -> Iterator[Workload]:
    for seq in SEQUENCES:
        yield from _patterns(seq, "float32", "" if seq == SEQUENCES[0] else f"_s{seq}")
        yield from _patterns(seq, "bfloat16", f"_s{seq}_bf16")
        for short in _DTYPES:
            yield from _layers(seq, short)
    yield from (
        layer for layer in _layers(LONGEST, "bf16") if layer.function is qwen3.qwen3emb_layer
    )
    yield from _movement()
    yield from _single_ops()
    yield from _lookups()
    yield from large.rows()
    yield from convolutions.rows()
    yield from moe.rows()


WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _all()}

__all__ = ["WORKLOADS", "Input", "Workload"]
