"""Programs that SBUF is too small for: every one is planned inside loops."""

from __future__ import annotations

from tests.fuzz.suspects import Suspect, suspect

_NESTS = ("looped", "several nests")

NESTED: dict[str, Suspect] = {
    "rows": suspect("1024x129f", "np.tanh(x0) * x0 + 1.0", reaches=("looped",), sbuf_bytes=4000),
    "rows in pieces": suspect(
        "1024x129f", "np.tanh(x0) * x0 + 1.0", reaches=("looped",), sbuf_bytes=3000
    ),
    "rows beside a copy": suspect(
        "512x129f 129f",
        "np.tanh(x0)",
        "x1 + 1.0",
        "v0 * v1",
        "np.exp(x0)",
        reaches=("looped",),
        sbuf_bytes=4000,
    ),
    "sum over a loop": suspect(
        "100x1000f", "np.sum(np.exp(x0), axis=-1)", reaches=("accumulated",), sbuf_bytes=2000
    ),
    "maximum over a loop": suspect(
        "1000x100f", "np.max(np.exp(x0), axis=0)", reaches=("accumulated",), sbuf_bytes=2000
    ),
    "two nests, a row crossing whole": suspect(
        "2048x200f", "np.max(x0, axis=0)", "x0 - v0", reaches=_NESTS, sbuf_bytes=9000
    ),
    "columns looped, rows added up": suspect(
        "129x1000f",
        "np.exp(x0)",
        "v0 - np.max(v0, axis=0, keepdims=True)",
        "np.sum(v0, axis=1)",
        reaches=("looped", "accumulated"),
        sbuf_bytes=4000,
    ),
    "contraction in blocks": suspect(
        "100x1000f 1000x257f", "x0 @ x1", reaches=("accumulated",), sbuf_bytes=3000
    ),
    "contraction in blocks of blocks": suspect(
        "128x1000f 1000x512f", "x0 @ x1", reaches=("accumulated",), sbuf_bytes=3000
    ),
    "product of a product": suspect(
        "128x64f 64x512f 512x64f",
        "np.tanh(x0 @ x1) @ x2",
        reaches=("accumulated",),
        sbuf_bytes=3500,
    ),
    "an input stored from the loop that reads it": suspect(
        "257x16x5b",
        "x0 * np.cos(np.arange(5, dtype=np.float32) * 0.37)",
        "ops.softmax(v0, axis=2)",
        "x0 + 0.0",
        reaches=("looped",),
        sbuf_bytes=1500,
    ),
    "blocks of a longer form": suspect(
        "1x100x129x2f 1x100x129x2p",
        "x0 / x1 * np.cos(np.arange(25800, dtype=np.float32) * 0.37).reshape((1, 100, 129, 2))",
        reaches=("looped",),
        sbuf_bytes=1500,
    ),
    "turned piece by piece in two nests": suspect(
        "2048x200f", "x0 - np.max(x0, axis=0)", reaches=_NESTS, sbuf_bytes=10_000
    ),
    "turned whole before a loop that reads it": suspect(
        "2048x200f",
        "x0 - np.max(x0, axis=0)",
        "np.exp(x0.T)",
        reaches=("looped",),
        sbuf_bytes=11_000,
    ),
    "joined over a loop along the pieces": suspect(
        "1000x16f",
        "np.concatenate([x0, x0], axis=1)",
        "v0.T * 2.0",
        reaches=("looped",),
        sbuf_bytes=1024,
    ),
    "joined with what a loop reduces": suspect(
        "1000x16f",
        "np.concatenate([x0, np.max(x0, axis=1, keepdims=True)], axis=1)",
        "v0[:, 5:]",
        "v0 + 0.0",
        reaches=("looped",),
        sbuf_bytes=1024,
    ),
}
"""By what each is about."""

_SOFTMAX = "ops.softmax(x0, axis=-1)"
_CENTRED = "x0 - np.mean(x0, axis=-1, keepdims=True)"
_SCALED = "v0 * ops.rsqrt(np.mean(np.square(v0), axis=-1, keepdims=True) + 0.5) * x1"
_KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "softmax": ("1024x{0}f", (_SOFTMAX,)),
    "layernorm": ("1024x{0}f {0}f", (_CENTRED, _SCALED)),
    "inner": ("256x{0}f {0}x1024f", ("x0 @ x1",)),
    "rows": ("{0}x256f 256x2048f", ("np.tanh(x0 @ x1)",)),
    "columns": ("1024x{0}f", ("np.sum(np.exp(x0), axis=0)",)),
    "wide": ("{0}x4096f", ("np.exp(x0)", "v0 - np.max(v0, axis=-1, keepdims=True)")),
    "heads": (
        "8x{0}x64f 8x{0}x64f",
        ("x0 @ np.swapaxes(x1, 1, 2)", "np.exp(v0 * 0.125)"),
    ),
}
"""Inputs with an axis of any size, and the lines."""

_SBUF: dict[int, dict[str, int]] = {
    1: {"inner": 8000, "rows": 4000},
    7: {"inner": 8000, "rows": 2000},
    100: {"layernorm": 4000, "inner": 4000, "columns": 2000, "wide": 4000},
    129: {"layernorm": 4000, "inner": 8000, "columns": 4000, "heads": 8000},
    257: {"softmax": 8000, "layernorm": 8000, "inner": 8000, "rows": 16_000, "wide": 8000},
    1000: {"softmax": 8000, "layernorm": 32_000, "inner": 4000, "rows": 2000, "columns": 4000},
}
"""Bytes per partition that are too few for the whole, by size and kernel."""

SIZED: dict[str, Suspect] = {
    f"{kernel} of {size}": suspect(
        _KERNELS[kernel][0].format(size),
        *_KERNELS[kernel][1],
        reaches=("looped",),
        sbuf_bytes=sbuf,
    )
    for size, kernels in _SBUF.items()
    for kernel, sbuf in kernels.items()
}
"""The sizes that divide nothing, and those that one block is too small or too large for."""
