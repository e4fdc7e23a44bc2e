"""The workloads of the benchmark: what each has to reach, and what others reach on it.

Limits are on executed instructions (loops multiplied out) and on HBM bytes over compulsory bytes.
The peer's figures are static counts of nkigen-lite's lowered programs; "by hand" is what hand-tuned
kernels take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

ELEMENTWISE_ERROR = 1e-5
MATMUL_ERROR = 1e-4
NARROW_ERROR_RATIO = 1.5
"""Allowed multiple of the error that rounding every op to its graph dtype makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload and its limits.

    ``error`` bounds max |got - want| / rms(want); None bounds it by ``NARROW_ERROR_RATIO`` times
    the error of the reference interpreter in the graph's own dtypes. ``times`` are limits in
    seconds, and of the gap as a fraction, by the name of the figure.
    """

    workload: str
    traffic: float
    instructions: int
    error: float | None
    matmul_precision: str = "exact"
    peer_traffic: float
    peer_instructions: int
    by_hand: str = ""
    times: Mapping[str, float]


_NO_LIMITS: Mapping[str, float] = {}
_LAYER_LIMITS: Mapping[str, float] = {"first_s": 1.0, "solve_s": 30.0, "lower_s": 2.0, "gap": 0.05}


def _pattern(  # noqa: PLR0913, PLR0917
    workload: str,
    traffic: float,
    instructions: int,
    peer_traffic: float,
    peer_instructions: int,
    by_hand: str = "",
    error: float = ELEMENTWISE_ERROR,
) -> Row:
    return Row(
        workload=workload,
        traffic=traffic,
        instructions=instructions,
        error=error,
        peer_traffic=peer_traffic,
        peer_instructions=peer_instructions,
        by_hand=by_hand,
        times=_NO_LIMITS,
    )


def _movement(workload: str, peer_traffic: float, peer_instructions: int) -> Row:
    return _pattern(workload, 1.01, 110, peer_traffic, peer_instructions)


def _narrow(
    workload: str,
    instructions: int,
    peer_traffic: float,
    peer_instructions: int,
    by_hand: str,
    times: Mapping[str, float],
) -> Row:
    """A bf16 block. Its rotary tables are f32 and would make the scores an f32 matmul."""
    return Row(
        workload=workload,
        traffic=1.05,
        instructions=instructions,
        error=None,
        matmul_precision="bf16",
        peer_traffic=peer_traffic,
        peer_instructions=peer_instructions,
        by_hand=by_hand,
        times=times,
    )


ROWS: tuple[Row, ...] = (
    _pattern("swiglu_act", 1.01, 30, 2.33, 44),
    _pattern("rmsnorm", 1.01, 30, 7.97, 54, "20"),
    _pattern("layernorm", 1.01, 40, 14.89, 97, "24"),
    _pattern("softmax", 1.01, 60, 8.02, 480, "48 fastest, 8 shortest"),
    _pattern("matmul_gup", 1.02, 480, 1.22, 246, "", MATMUL_ERROR),
    _pattern("feedforward", 1.02, 700, 1.99, 502, "560", MATMUL_ERROR),
    _pattern("rope", 1.01, 80, 8.41, 920),
    _narrow("attention_block_s128_bf16", 600, 7.58, 5195, "", _NO_LIMITS),
    _narrow("qwen3emb_layer_s128_bf16", 1100, 4.60, 5773, "896", _LAYER_LIMITS),
    Row(
        workload="qwen3emb_layer_s128_f32",
        traffic=1.05,
        instructions=1100,
        error=MATMUL_ERROR,
        peer_traffic=3.45,
        peer_instructions=5514,
        times=_LAYER_LIMITS,
    ),
    _movement("transpose_1024x1024", 2.00, 208),
    _movement("transpose_headsplit_1_128_16_128", 2.00, 64),
    _movement("reshape_1_128_2048_to_1_128_16_128", 1.00, 32),
    _movement("reshape_1152_2_16_16_3_to_1152_1536", 1.00, 18),
    _movement("reshape_96_100_to_75_128", 1.00, 2),
)


def _idiom(
    workload: str, traffic: float, instructions: int, peer: tuple[float, int], error: float | None
) -> Row:
    """Where errors are bounded by those of rounding to bf16, matmuls run in it."""
    row = _pattern(workload, traffic, instructions, *peer)
    return replace(row, error=error, matmul_precision="exact" if error else "bf16")


IDIOMS: tuple[Row, ...] = (
    _idiom("moe_layer_prefill_L8_bf16", 1.3, 4000, (3.5, 27_154), None),
    _idiom("moe_layer_decode_bf16", 1.15, 1500, (7.2, 23_157), None),
    _idiom("conv2d_16_32_k3_s1_p1_32x32", 1.2, 60, (17.0, 493), MATMUL_ERROR),
    _idiom("conv2d_16_32_k5_s2_p2_28x28", 1.2, 80, (16.0, 1024), MATMUL_ERROR),
    _idiom("conv3d_qwen3vl_3_1152_8x16x16", 1.1, 300, (3.0, 13_870), MATMUL_ERROR),
    _idiom("transpose_qwenvl_1152_3_2_16_16", 1.01, 40, (2.0, 9_243), ELEMENTWISE_ERROR),
)
"""Gathered experts, caches updated in place, windows that slide, moves of many axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows measured together, and the files their results go to."""

    rows: tuple[Row, ...]
    title: str
    command: str
    page: str
    results: str


TABLES: Mapping[str, Table] = {
    "patterns": Table(
        rows=ROWS, title="Results", command="make bench", page="RESULTS.md", results="step1.json"
    ),
    "idioms": Table(
        rows=IDIOMS,
        title="Experts, caches, convolutions, transposes",
        command="python -m benchmarks.compile_workloads --table idioms",
        page="IDIOMS.md",
        results="idioms.json",
    ),
}
