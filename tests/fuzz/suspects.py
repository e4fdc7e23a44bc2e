"""Programs aimed at one thing each: remainders, windows, scalars, layouts, nests, integers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.program import Input, Line, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """``reaches`` names the rows of the report that it is there for."""

    program: Program
    reaches: tuple[str, ...]


_DTYPES = {"f": "float32", "b": "bfloat16", "i": "int32", "p": "float32"}


def suspect(
    inputs: str, *texts: str, reaches: tuple[str, ...] = (), sbuf_bytes: int | None = None
) -> Suspect:
    """``inputs`` such as ``"129x257f 257p"`` (p: positive) become x0, x1; lines v0, v1, ...

    All lines that no other line reads are returned.
    """
    arguments = tuple(
        Input(
            name=f"x{k}",
            shape=tuple(int(n) for n in word[:-1].split("x") if n),
            dtype=_DTYPES[word[-1]],
            positive=word[-1] == "p",
        )
        for k, word in enumerate(inputs.split())
    )
    names = [a.name for a in arguments] + [f"v{k}" for k in range(len(texts))]
    lines = tuple(
        Line(name=f"v{k}", text=text, reads=tuple(n for n in names if n in text))
        for k, text in enumerate(texts)
    )
    read = [n for line in lines for n in line.reads]
    returns = tuple(line.name for line in lines if line.name not in read)
    program = Program(seed=1, inputs=arguments, lines=lines, returns=returns, sbuf_bytes=sbuf_bytes)
    return Suspect(program=program, reaches=reaches)


_MATMUL = ("nc_matmul on tensor",)

SUSPECTS: dict[str, Suspect] = {
    "matmul with remainders": suspect(
        "129x257f 257x130f", "x0 @ x1", reaches=(*_MATMUL, "peeled", "nc_transpose on tensor")
    ),
    "long contraction": suspect("5x1000f 1000x257f", "x0 @ x1", reaches=_MATMUL),
    "contraction of one": suspect("100x1f 1x257f", "x0 @ x1", reaches=_MATMUL),
    "contraction of three": suspect("3x100b 3x129b", "np.swapaxes(x0, 0, 1) @ x1"),
    "contraction in steps": suspect("16x64f 32x40f", "np.tanh(x0)[:, ::2] @ x1"),
    "inner product": suspect("257f 257f", "x0 @ x1"),
    "matrix vector": suspect("129x100f 100f 129f", "x0 @ x1", "x2 @ x0"),
    "batch on both": suspect("3x5x64f 3x64x7f", "x0 @ x1"),
    "batch on one": suspect("4x3x64x7f 7x5f", "x0 @ x1"),
    "heads in groups": suspect(
        "8x64x32b 2x64x32b", "x0 @ np.swapaxes(np.repeat(x1, 4, axis=0), 1, 2)"
    ),
    "heads split and merged": suspect(
        "64x96f 96x96f",
        "np.transpose(np.reshape(x0 @ x1, (64, 4, 24)), (1, 0, 2))",
        "np.reshape(np.transpose(np.exp(v0 * 0.02), (1, 0, 2)), (64, 96))",
    ),
    "gram both ways": suspect("100x129f", "np.tanh(x0)", "v0 @ v0.T", "v0.T @ v0"),
    "transpose with remainders": suspect(
        "129x257f",
        "np.tanh(x0)",
        "np.transpose(v0) * 2.0 + 1.0",
        "np.sum(v0, axis=0)",
        reaches=("converted", "nc_transpose on tensor"),
    ),
    "transpose of three dims": suspect("3x129x40b", "np.transpose(np.exp(x0), (2, 0, 1))"),
    "rows in another order": suspect(
        "200x3x20x16b", "np.transpose(x0, (0, 3, 1, 2))", reaches=("reordered",)
    ),
    "row over partitions": suspect(
        "128x1000f 1000f", "x0 * np.exp(x1)", reaches=("replicated", "memset on gpsimd")
    ),
    "rows of two lengths": suspect("100x40f 7x40f 40f", "np.exp(x2)", "x0 * v0", "x1 * v0"),
    "mask with remainders": suspect(
        "257x129f",
        "x0 + np.triu(np.full((257, 129), -3.0, np.float32), 1)",
        reaches=("generated", "affine_select on gpsimd"),
    ),
    "mask over heads": suspect(
        "4x130x130f", "ops.softmax(x0 + np.triu(np.full((130, 130), -3.0, np.float32), 1))"
    ),
    "arbitrary constant": suspect("100x30f", "x0 * np.cos(np.arange(30, dtype=np.float32))"),
    "softmax": suspect(
        "129x512f", "ops.softmax(x0, axis=-1)", reaches=("activation on scalar, accumulating",)
    ),
    "softmax along the rows": suspect("129x40f", "ops.softmax(x0, axis=0)"),
    "norm that is stored in between": suspect(
        "129x64f 64f", "np.square(x0)", "ops.rms_norm(x0, x1)", "np.sum(v0, axis=-1)", "v0 + 0.5"
    ),
    "scale, shift, scale": suspect(
        "128x1000f 128x1000f 128x1f",
        "(x0 * x2) + x1",
        "(x0 * 0.5 + 0.25) * x1",
        reaches=("scalar_tensor_tensor on vector", "fused"),
    ),
    "epilogue with columns": suspect(
        "100x64f 64x257f 100x1f 100x1f",
        "ops.relu((x0 @ x1) * x2 + x3)",
        reaches=("epilogue",),
    ),
    "epilogue with a row": suspect("257x64f 64x100f 100f", "np.tanh(x0 @ x1 + x2)"),
    "run of two digits in a window": suspect(
        "4x30x50f", "np.exp(x0)", "v0[1:3] * 2.0", "v0[:, 3:20, 5:]", "v0[2, 7]"
    ),
    "window that is no block": suspect("300x40f", "np.exp(x0)", "v0[37:293]", "v0[5:9] + 1.0"),
    "steps along the rows": suspect(
        "129x64f", "np.exp(x0)", "v0[1::3]", "np.tanh(v0[::2])", "np.sum(v0[5:100:5], axis=0)"
    ),
    "steps of a vector": suspect("257f", "np.exp(x0)", "v0[3:200:7]", "v0[1:] - v0[:-1]"),
    "one row of all": suspect("129x64f", "np.exp(x0)", "v0[128]", "v0[:, 5]", "v0[7, 9]"),
    "joined along the rows": suspect(
        "100x40f 29x40f", "np.concatenate([np.tanh(x0), np.exp(x1)], axis=0)", "v0 + 1.0"
    ),
    "joined blocks": suspect("128x40f", "np.tanh(x0)", "np.concatenate([v0, v0 * v0, v0], 0)"),
    "joined along the columns": suspect(
        "100x40f 100x3f", "np.concatenate([np.exp(x0), x1, x0], axis=1)", "np.sum(v0, axis=1)"
    ),
    "joined with its own half": suspect(
        "16x64f", "np.exp(x0)", "np.concatenate([v0[:, 32:], np.tanh(v0[:, :32])], axis=1)"
    ),
    "piece made of another": suspect("100f", "x0 * 0.125", "np.concatenate([np.exp(v0), v0])"),
    "joined results of products": suspect(
        "129x64f 64x40f", "x0 @ x1", "np.concatenate([v0, x0, v0], axis=1)"
    ),
    "rotated halves": suspect(
        "2x100x64b 100x64f",
        "np.concatenate([-x0[..., 32:], x0[..., :32]], axis=-1)",
        "x0 * x1 + v0 * np.tanh(x1)",
    ),
    "no common factors": suspect(
        "21x10f",
        "np.exp(x0)",
        "np.reshape(v0, (14, 15)) * 2.0",
        reaches=("reinterpreted", "spilled"),
    ),
    "joined pieces without common factors": suspect(
        "12x35f",
        "np.tanh(x0)",
        "np.concatenate([np.reshape(v0, (35, 12)), np.ones((1, 12)) + v0[0, 0]])",
    ),
    "joined windows without common factors": suspect(
        "100x16f", "np.concatenate([x0[:, ::2], x0[:, 3:]], axis=1)", "v0.T * 2.0"
    ),
    "odd window of split heads": suspect(
        "16x60f", "np.reshape(np.exp(x0), (16, 12, 5))", "np.exp(x0)[:, 7:52]", "v0[:, 3:, 1:4]"
    ),
    "scalars": suspect("f f", "x0 * x1", "np.exp(v0) + 1.0"),
    "scalar and matrix": suspect("f 129x64f", "x1 * x0 + np.tanh(x0)"),
    "everything summed": suspect("257x129f", "np.sum(x0 * x0)", "x0 * (0.001 * v0)"),
    "everything reduced": suspect("3x100x7f", "np.max(x0)", "np.min(x0)", "np.mean(x0 + 2.0)"),
    "mean of the rows": suspect("257x100f", "x0 - np.mean(x0, axis=0, keepdims=True)"),
    "inner and outer reduced": suspect("5x64x7f", "np.max(x0, axis=(0, 2))", "np.sum(x0, (1,))"),
    "read and returned": suspect("100x64f", "np.exp(x0)", "v0 * 2.0", "v0[:, 5:]", "v0.T"),
    "as it is": suspect("100x64f f", "x0 + 0.0", "x0.T", "x0[3:, ::2]", "x1 + 0.0"),
    "broadcast and stored": suspect("1f 40f", "np.broadcast_to(x0, (5, 7))", "np.repeat(x1, 3)"),
    "narrowed and widened": suspect(
        "100x64f 64x30f", 'x0.astype("bfloat16")', "v0 @ x1", 'np.exp(x0).astype("bfloat16")'
    ),
    "reciprocals": suspect(
        "100x64p 100x64b",
        "1.0 / x0",
        "ops.rsqrt(x0)",
        "np.log(x0) / np.sqrt(x0)",
        "ops.sigmoid(x1) / (x1 * x1 + 1.0)",
        reaches=("reciprocal on vector",),
    ),
    "looped weight": suspect(
        "32x256f 256x1000f", "np.tanh(x0) @ x1", reaches=("looped",), sbuf_bytes=9000
    ),
    "spilled": suspect(
        "128x1000f 128x1000f",
        "np.exp(x0)",
        "np.sum(v0, axis=1, keepdims=True)",
        "np.tanh(x1)",
        "np.max(v2, axis=1, keepdims=True) + v1",
        "v2 * v3",
        "v0 * v3",
        reaches=("spilled", "several nests"),
        sbuf_bytes=7000,
    ),
}
"""By what each is about."""

INTEGERS: dict[str, Suspect] = {
    "sums": suspect("100x40i 100x40i", "x0 + x1", "x0 - 3", "np.maximum(x0, x1) * 5"),
    "reductions": suspect("100x40i", "np.sum(x0, axis=1)", "np.max(x0, axis=0)", "np.min(x0)"),
    "views": suspect("100x40i", "x0.T", "np.concatenate([x0[:, 3:], x0], axis=1)", "-x0"),
    "products": suspect("16x8i 8x16i", "x0 @ x1"),
    "lifted": suspect("100x40i 100x40f", "x0 * 0.5", "x0 + x1", "np.exp(x0 * 0.25)"),
}
"""Exact, or a clear error."""
