"""What programs larger than the chip have to reach, and what others reach on them.

Traffic is HBM bytes over the compulsory ones, slowdown the modelled time over the roofline. A row
without those limits is of an awkward size and there for its numerics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SOLVE_SECONDS = 60.0
LOWER_SECONDS = 2.0
DISAGREEMENT = 0.15
"""Allowed distance of the plan's objective from the estimate, as a fraction of the estimate."""

ELEMENTWISE_ERROR = 1e-5
MATMUL_ERROR = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload and its limits.

    ``numeric`` rows are executed, by the simulator and by the checker of emitted source; of others
    the checker counts. ``error`` bounds max |got - want| / rms(want) of those; None stands for 1.5
    times the error of rounding every op to its graph dtype. ``lines`` bounds the source by
    multiples of other rows' sources.
    """

    workload: str
    gap: float = 0.10
    traffic: float | None = None
    slowdown: float | None = None
    numeric: bool = False
    error: float | None = None
    lines: Mapping[str, float] = field(default_factory=dict[str, float])
    peer: str = ""
    by_hand: str = ""

    @property
    def matmul_precision(self) -> str:
        return "bf16" if self.workload.endswith("_bf16") else "exact"


def _layer(seq: int, traffic: float, slowdown: float, peer: str, by_hand: str = "") -> Row:
    longest = seq == 8192
    return Row(
        workload=f"qwen3emb_layer_s{seq}_bf16",
        traffic=traffic,
        slowdown=slowdown,
        gap=0.10 if longest else 0.05,
        numeric=seq <= 512,
        lines={"qwen3emb_layer_s2048_bf16": 1.2, "qwen3emb_layer_s128_bf16": 3.0}
        if longest
        else {},
        peer=peer,
        by_hand=by_hand,
    )


def _large(workload: str, traffic: float, slowdown: float, peer: str = "", hand: str = "") -> Row:
    return Row(workload=workload, traffic=traffic, slowdown=slowdown, peer=peer, by_hand=hand)


def _odd(workload: str, error: float | None) -> Row:
    return Row(workload=workload, numeric=True, error=error)


_VENDOR = "vendor's kernel 2.2 (time)"

ROWS: tuple[Row, ...] = (
    _layer(128, 1.03, 1.5, "4.6x bytes", "1.00, 1.06"),
    _layer(512, 1.10, 1.7, "27x bytes"),
    _layer(1024, 1.10, 1.7, "73x bytes"),
    _layer(2048, 1.15, 1.9, "209x bytes", "1.10, 1.03 (no row maximum)"),
    _layer(8192, 2.3, 2.3, "not practical"),
    _large("sdpa_1_16_2048_128_bf16", 1.05, 2.3, hand="1.00, 1.58"),
    _large("sdpa_1_16_16384_128_bf16", 1.05, 2.3, _VENDOR),
    _large("sdpa_causal_1_16_2048_128_bf16", 1.05, 2.5),
    _large("sdpa_causal_1_16_16384_128_bf16", 1.05, 2.5),
    _large("matmul_2048x2048x2048_bf16", 1.1, 1.3, "6.7x bytes", "1.00, 1.02"),
    _large("matmul_4096x4096x4096_bf16", 1.4, 1.3, "12x bytes", "1.33, 1.003"),
    _large("matmul_4096x8192x8192_f32", 2.4, 1.3),
    _large("matmul_lmhead_1x2048x128256_bf16", 1.01, 1.4, "17,895 ops"),
    _large("softmax_4096x32768_f32", 1.01, 1.7),
    _large("layernorm_4096x8192_f32", 1.01, 1.55),
    _odd("matmul_1500x3001x2600_bf16", None),
    _odd("matmul_257x1000x1030_f32", MATMUL_ERROR),
    _odd("softmax_1000x5001_f32", ELEMENTWISE_ERROR),
    _odd("layernorm_5000x1001_f32", ELEMENTWISE_ERROR),
    _odd("sdpa_1_5_2100_100_bf16", None),
    _odd("sdpa_causal_1_5_2100_100_bf16", None),
)
