"""Convolutions: batch 1, channels first, float32, no bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nkigen_cp.frontend import ops
from nkigen_cp.workloads.workload import Input, Workload

_CONVOLUTIONS = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    channels: tuple[int, int]  # of the input, of the output
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int = 0


_PATCH = (2, 16, 16)
"""The patch of a vision model: frames, rows, columns."""

_ROWS = (
    _Row(
        name="2d_16_32_k3_s1_p1_32x32", channels=(16, 32), size=(32, 32), kernel=(3, 3), padding=1
    ),
    _Row(
        name="2d_16_32_k5_s2_p2_28x28",
        channels=(16, 32),
        size=(28, 28),
        kernel=(5, 5),
        stride=2,
        padding=2,
    ),
    _Row(
        name="2d_32_64_k3_s2_p1_32x32",
        channels=(32, 64),
        size=(32, 32),
        kernel=(3, 3),
        stride=2,
        padding=1,
    ),
    _Row(
        name="2d_3_64_k7_s2_p3_32x32",
        channels=(3, 64),
        size=(32, 32),
        kernel=(7, 7),
        stride=2,
        padding=3,
    ),
    _Row(name="2d_64_128_k1_32x32", channels=(64, 128), size=(32, 32), kernel=(1, 1)),
    _Row(
        name="3d_qwen3vl_3_1152_8x16x16",
        channels=(3, 1152),
        size=(8, 16, 16),
        kernel=_PATCH,
        stride=_PATCH,
    ),
    _Row(
        name="3d_qwen3vl_single_patch_N1",
        channels=(3, 1152),
        size=_PATCH,
        kernel=_PATCH,
        stride=_PATCH,
    ),
    _Row(
        name="3d_16_32_k3_p1",
        channels=(16, 32),
        size=(8, 16, 16),
        kernel=(3, 3, 3),
        padding=1,
    ),
)


def convolution(x: Any, w: Any, stride: int | tuple[int, ...], padding: int) -> Any:
    """(1, C, dims...) with (O, C, kernel...) -> (1, O, dims...)."""
    return _CONVOLUTIONS[x.ndim - 2](x, w, stride=stride, padding=padding)


def rows() -> Iterator[Workload]:
    """Convolutions of images and of patches of video."""
    for row in _ROWS:
        taken, made = row.channels
        yield Workload(
            name=f"conv{row.name}",
            function=convolution,
            inputs=(
                Input("x", (1, taken, *row.size), "float32"),
                Input("w", (made, taken, *row.kernel), "float32"),
            ),
            static={"stride": row.stride, "padding": row.padding},
        )
