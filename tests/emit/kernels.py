"""Kernels built by hand: short constructors, and one kernel per thing emission must get right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nkigen_cp.ir.dtypes import DType, dtype
from nkigen_cp.ir.nki.kernel import (
    Affine,
    Alloc,
    Buffer,
    Index,
    Instruction,
    Kept,
    Kernel,
    Loop,
    LoopTerm,
    Memory,
    Operand,
    Repeat,
    Statement,
    View,
)

Where = int | Affine | tuple[int | Affine, int] | tuple[int | Affine, int, int] | None


def var(name: str, stride: int = 1, const: int = 0) -> Affine:
    return Affine(const=const, terms=(LoopTerm(var=name, stride=stride),))


def buffer(
    name: str, shape: tuple[int, ...], memory: Memory, of: str | DType = "float32", note: str = ""
) -> Buffer:
    return Buffer(name=name, shape=shape, dtype=dtype(of), memory=memory, note=note)


def sbuf(name: str, *shape: int, of: str = "float32", note: str = "") -> Buffer:
    return buffer(name, shape, Memory.SBUF, of, note)


def psum(name: str, *shape: int, of: str = "float32") -> Buffer:
    return buffer(name, shape, Memory.PSUM, of)


def view(
    of: Buffer,
    *where: Where,
    dims: Sequence[int | Repeat] | None = None,
    shape: tuple[int, ...] | None = None,
) -> View:
    """Per dim: None (all), an integer (one position, dropped) or (start, size[, step]).

    ``dims`` orders the result when it is not simply the kept dims in order.
    """
    shape = shape or of.shape
    index: list[Index] = []
    kept: list[int] = []
    padded = (*where, *[None] * (len(shape) - len(where)))
    for dim, (size, place) in enumerate(zip(shape, padded, strict=True)):
        if place is None:
            index.append(Index(size=size))
        elif isinstance(place, tuple):
            step = place[2] if len(place) == 3 else 1
            index.append(Index(start=_affine(place[0]), size=place[1], step=step))
        else:
            index.append(Index(start=_affine(place), size=1))
            continue
        kept.append(dim)
    order = kept if dims is None else dims
    result = tuple(d if isinstance(d, Repeat) else Kept(dim=d) for d in order)
    return View(buffer=of.name, shape=shape, index=tuple(index), dims=result)


def _affine(value: int | Affine) -> Affine:
    return Affine(const=value) if isinstance(value, int) else value


def call(kind: str, engine: str = "vector", note: str = "", **args: Operand) -> Instruction:
    return Instruction(kind=kind, engine=engine, args=args, note=note)


def dma(dst: View, src: View) -> Instruction:
    return call("dma_copy", "dma", dst=dst, src=src)


def loop(variable: str, upper: int | Affine, *body: Statement, lower: int | Affine = 0) -> Loop:
    return Loop(var=variable, lower=_affine(lower), upper=_affine(upper), body=body)


def kernel(
    name: str,
    inputs: Sequence[Buffer],
    outputs: Sequence[Buffer],
    *body: Statement,
    others: Sequence[Buffer] = (),
) -> Kernel:
    """A kernel whose buffers are the given ones and all that its statements allocate."""
    buffers = {b.name: b for b in (*inputs, *outputs, *others)}
    pending = list(body)
    while pending:
        statement = pending.pop(0)
        if isinstance(statement, Alloc):
            buffers[statement.buffer.name] = statement.buffer
        elif isinstance(statement, Loop):
            pending += statement.body
    return Kernel(
        name=name,
        target_name="trn2",
        inputs=tuple(b.name for b in inputs),
        outputs=tuple(b.name for b in outputs),
        buffers=buffers,
        body=body,
    )


def vadd() -> Kernel:
    x = buffer("x", (512, 256), Memory.INPUT)
    y = buffer("y", (512, 256), Memory.INPUT)
    out = buffer("out", (512, 256), Memory.OUTPUT)
    a, b = sbuf("x.sb", 128, 256, note="rows on partitions"), sbuf("y.sb", 128, 256)
    rows = (var("r", 128), 128)
    body = loop(
        "r",
        4,
        *(Alloc(buffer=a), dma(view(a), view(x, rows))),
        *(Alloc(buffer=b), dma(view(b), view(y, rows))),
        call("tensor_tensor", dst=view(a), data1=view(a), data2=view(b), op="add", note="x + y"),
        dma(view(out, rows), view(a)),
    )
    return kernel("vadd", (x, y), (out,), body)


def pipelined() -> Kernel:
    """exp(x) * x of (1024, 256), a row block's product and store one and two turns behind."""
    x = buffer("x", (1024, 256), Memory.INPUT)
    out = buffer("out", (1024, 256), Memory.OUTPUT)
    a, e = replace(sbuf("a", 128, 256), copies=3), replace(sbuf("e", 128, 256), copies=2)
    rows = (var("r", 128), 128)
    steps = (
        (0, Alloc(buffer=a)),
        (0, dma(view(a), view(x, rows))),
        (0, Alloc(buffer=e)),
        (0, call("activation", "scalar", dst=view(e), op="exp", data=view(a))),
        (1, call("tensor_tensor", dst=view(a), data1=view(a), data2=view(e), op="multiply")),
        (2, dma(view(out, rows), view(a))),
    )
    body = loop("r", 8, *(s for _, s in steps))
    return kernel("pipelined", (x,), (out,), replace(body, delays=tuple(d for d, _ in steps)))


def double_rows() -> Kernel:
    """at (256, 64), b (256, 512) float8_e4m3 -> at.T @ b, two rows of K per partition."""
    at = buffer("at", (256, 64), Memory.INPUT, "float8_e4m3")
    b = buffer("b", (256, 512), Memory.INPUT, "float8_e4m3")
    out = buffer("out", (64, 512), Memory.OUTPUT)
    a_sb, b_sb = (
        sbuf("a_sb", 128, 2, 64, of=at.dtype.name),
        sbuf("b_sb", 128, 2, 512, of=b.dtype.name),
    )
    acc, res = psum("acc", 64, 512), sbuf("res", 64, 512)
    product = call(
        "nc_matmul",
        "tensor",
        dst=view(acc),
        stationary=view(a_sb),
        moving=view(b_sb),
        accumulate=False,
        perf_mode="double_row",
    )
    return kernel(
        "double_rows",
        (at, b),
        (out,),
        *(Alloc(buffer=a_sb), dma(view(a_sb), view(at, shape=(2, 128, 64), dims=(1, 0, 2)))),
        *(Alloc(buffer=b_sb), dma(view(b_sb), view(b, shape=(2, 128, 512), dims=(1, 0, 2)))),
        *(Alloc(buffer=acc), product, Alloc(buffer=res)),
        call("tensor_copy", "scalar", dst=view(res), src=view(acc)),
        dma(view(out), view(res)),
    )


def matmul() -> Kernel:
    """at (256, 256), b (256, 1024) bfloat16 -> at.T @ b, K accumulated in PSUM."""
    at = buffer("at", (256, 256), Memory.INPUT, "bfloat16")
    b = buffer("b", (256, 1024), Memory.INPUT, "bfloat16")
    out = buffer("out", (256, 1024), Memory.OUTPUT, "bfloat16")
    a_sb = sbuf("a_sb", 128, 2, 256, of="bfloat16", note="K inner on partitions, K outer, M")
    b_sb = sbuf("b_sb", 128, 2, 1024, of="bfloat16")
    acc, res = psum("acc", 128, 512), sbuf("res", 128, 512, of="bfloat16")
    n_tile, m_tile, k = (var("n", 512), 512), (var("m", 128), 128), var("k")
    split = view(at, shape=(2, 128, 256), dims=(1, 0, 2))
    inner = loop(
        "k",
        2,
        call(
            "nc_matmul",
            "tensor",
            dst=view(acc),
            stationary=view(a_sb, None, k, m_tile),
            moving=view(b_sb, None, k, n_tile),
            accumulate=k,
        ),
    )
    tile = loop(
        "n",
        2,
        *(Alloc(buffer=acc), inner, Alloc(buffer=res)),
        call("tensor_copy", "scalar", dst=view(res), src=view(acc)),
        dma(view(out, m_tile, n_tile), view(res)),
    )
    return kernel(
        "gemm",
        (at, b),
        (out,),
        *(Alloc(buffer=a_sb), dma(view(a_sb), split)),
        *(Alloc(buffer=b_sb), dma(view(b_sb), view(b, shape=(2, 128, 1024), dims=(1, 0, 2)))),
        loop("m", 2, tile),
    )


def softmax() -> Kernel:
    """x (128, 300) float32 -> softmax over rows."""
    x = buffer("x", (128, 300), Memory.INPUT)
    out = buffer("out", (128, 300), Memory.OUTPUT)
    t, e, y = sbuf("t", 128, 300), sbuf("e", 128, 300), sbuf("y", 128, 300)
    stats = sbuf("stats", 128, 3, note="rows; -max, sum, 1/sum")
    return kernel(
        "row_softmax",
        (x,),
        (out,),
        *(Alloc(buffer=b) for b in (t, stats, e, y)),
        dma(view(t), view(x)),
        call(
            "tensor_reduce",
            note="softmax",
            dst=view(stats, None, 0),
            op="maximum",
            data=view(t),
            num_axes=1,
            negate=True,
        ),
        call(
            "activation",
            "scalar",
            note="softmax",
            dst=view(e),
            op="exp",
            data=view(t),
            bias=view(stats, None, (0, 1)),
            scale=1.0,
            reduce_op="add",
            reduce_res=view(stats, None, (1, 1)),
            reduce_cmd="reset_reduce",
        ),
        call("reciprocal", dst=view(stats, None, 2), data=view(stats, None, 1)),
        call(
            "tensor_scalar",
            dst=view(y),
            data=view(e),
            op0="multiply",
            operand0=view(stats, None, 2),
        ),
        dma(view(out), view(y)),
    )


def transposes() -> Kernel:
    """x (64, 128) float32 -> x.T by the Tensor Engine, HBM scratch on the way."""
    x = buffer("x", (64, 128), Memory.INPUT)
    out = buffer("out", (128, 64), Memory.OUTPUT)
    scratch = buffer("scratch", (128, 64), Memory.HBM)
    x_sb, xt, xt_sb = sbuf("x_sb", 64, 128), psum("xt", 128, 64), sbuf("xt_sb", 128, 64)
    return kernel(
        "transpose",
        (x,),
        (out,),
        *(Alloc(buffer=x_sb), dma(view(x_sb), view(x)), Alloc(buffer=xt)),
        call("nc_transpose", "tensor", dst=view(xt), data=view(x_sb)),
        *(Alloc(buffer=xt_sb), call("tensor_copy", dst=view(xt_sb), src=view(xt))),
        *(Alloc(buffer=scratch), dma(view(scratch), view(xt_sb))),
        dma(view(out), view(scratch, shape=(8192,))),
    )


def heads() -> Kernel:
    """x (64, 4, 32), s (64, 4), w (32,) -> permute(x * s[:, :, None] * w, (0, 2, 1)).

    Broadcasts a dropped dim, an inserted one, and a row over the partitions; permutes free dims.
    """
    x = buffer("x", (64, 4, 32), Memory.INPUT)
    s = buffer("s", (64, 4), Memory.INPUT)
    w = buffer("w", (32,), Memory.INPUT)
    out = buffer("out", (64, 32, 4), Memory.OUTPUT)
    x_sb, s_sb, w_sb = sbuf("x_sb", 64, 4, 32), sbuf("s_sb", 64, 4), sbuf("w_sb", 64, 32)
    return kernel(
        "heads",
        (x, s, w),
        (out,),
        *(Alloc(buffer=b) for b in (x_sb, s_sb, w_sb)),
        *(dma(view(x_sb), view(x)), dma(view(s_sb), view(s))),
        dma(view(w_sb), view(w, dims=(Repeat(size=64), 0))),
        call(
            "tensor_tensor",
            "gpsimd",
            dst=view(x_sb),
            data1=view(x_sb),
            data2=view(s_sb, dims=(0, 1, Repeat(size=32))),
            op="multiply",
        ),
        call(
            "scalar_tensor_tensor",
            dst=view(x_sb),
            data=view(x_sb),
            op0="multiply",
            operand0=2.0,
            op1="multiply",
            operand1=view(w_sb, dims=(0, Repeat(size=4), 1)),
        ),
        dma(view(out), view(x_sb, dims=(0, 2, 1))),
    )


def triangle() -> Kernel:
    """x (128, 512) float32 -> copies of the blocks on and below the diagonal, zeros elsewhere.

    The inner bound is affine in the outer variable, and the upper part is filled likewise.
    """
    x = buffer("x", (128, 512), Memory.INPUT)
    out = buffer("out", (128, 512), Memory.OUTPUT)
    x_sb, y = sbuf("x_sb", 128, 512), sbuf("y", 128, 512)

    def piece(of: Buffer, inner: str) -> View:
        return view(of, None, (var("i", 128) + var(inner, 32), 32))

    return kernel(
        "triangle",
        (x,),
        (out,),
        *(Alloc(buffer=x_sb), Alloc(buffer=y), dma(view(x_sb), view(x))),
        loop(
            "i",
            4,
            loop("j", var("i", 1, 1), call("tensor_copy", dst=piece(y, "j"), src=piece(x_sb, "j"))),
            loop(
                "above", 4, call("memset", dst=piece(y, "above"), value=0.0), lower=var("i", 1, 1)
            ),
        ),
        dma(view(out), view(y)),
    )


def masked() -> Kernel:
    """x (128, 128) float32 -> column numbers plus x on and below the diagonal, -1 above."""
    x = buffer("x", (128, 128), Memory.INPUT)
    out = buffer("out", (128, 128), Memory.OUTPUT)
    x_sb, columns, y = sbuf("x_sb", 128, 128), sbuf("columns", 128, 128), sbuf("y", 128, 128)
    return kernel(
        "masked",
        (x,),
        (out,),
        *(Alloc(buffer=b) for b in (x_sb, columns, y)),
        dma(view(x_sb), view(x)),
        call("iota", "gpsimd", dst=view(columns), pattern=((1, 128),), channel_multiplier=0),
        call("tensor_tensor", dst=view(y), data1=view(x_sb), data2=view(columns), op="add"),
        call(
            "affine_select",
            "gpsimd",
            dst=view(y),
            pattern=((-1, 128),),
            channel_multiplier=1,
            on_true_tile=view(y),
            on_false_value=-1.0,
            cmp_op="greater_equal",
            offset=Affine(),
        ),
        dma(view(out), view(y)),
    )


def chosen() -> Kernel:
    """x (128, 64) float32 -> -2 where x is below 0, else x; and x there, else 0.5."""
    x = buffer("x", (128, 64), Memory.INPUT)
    outs = [buffer(n, (128, 64), Memory.OUTPUT) for n in ("low", "high")]
    x_sb, y, z = (sbuf(n, 128, 64) for n in ("x_sb", "y", "z"))
    negative = sbuf("negative", 128, 64, of="bool")
    return kernel(
        "chosen",
        (x,),
        tuple(outs),
        *(Alloc(buffer=b) for b in (x_sb, negative, y, z)),
        dma(view(x_sb), view(x)),
        call("tensor_scalar", dst=view(negative), data=view(x_sb), op0="less", operand0=0.0),
        call("memset", dst=view(y), value=-2.0),
        call(
            "tensor_copy_predicated",
            dst=view(y),
            src=view(x_sb),
            predicate=view(negative),
            reverse_pred=True,
        ),
        call(
            "select_reduce",
            dst=view(z),
            predicate=view(negative),
            on_true=view(x_sb),
            on_false=0.5,
        ),
        dma(view(outs[0]), view(y)),
        dma(view(outs[1]), view(z)),
    )


def moments() -> Kernel:
    """x (128, 512) float32 -> mean and variance per row (128, 2), minus twice the row sums."""
    x = buffer("x", (128, 512), Memory.INPUT)
    out = buffer("out", (128, 2), Memory.OUTPUT)
    sums = buffer("sums", (128, 1), Memory.OUTPUT)
    x_sb, raw, both = sbuf("x_sb", 128, 512), sbuf("raw", 128, 6), sbuf("both", 128, 2)
    doubled, total = sbuf("doubled", 128, 512), sbuf("total", 128, 1)
    return kernel(
        "moments",
        (x,),
        (out, sums),
        *(Alloc(buffer=b) for b in (x_sb, raw, both, doubled, total)),
        dma(view(x_sb), view(x)),
        call("bn_stats", dst=view(raw), data=view(x_sb)),
        call("bn_aggr", dst=view(both), data=view(raw)),
        call(
            "tensor_scalar_reduce",
            dst=view(doubled),
            data=view(x_sb),
            op0="multiply",
            operand0=2.0,
            reduce_op="add",
            reduce_res=view(total),
            negate=True,
        ),
        *(dma(view(out), view(both)), dma(view(sums), view(total))),
    )
