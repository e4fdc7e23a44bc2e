from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.emit import emit_nki
from nkigen_cp.emit.instructions import ROWS
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Alloc, Instruction, Kernel, Memory, Note, Operand, walk
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from tests.emit import collective_kernels, kernels, picking_kernels, row_kernels
from tests.emit.conftest import Judge

T = kernels.sbuf("t", 128, 4)
_ELSEWHERE = kernels.view(kernels.sbuf("elsewhere", 128, 4))
Reference = Callable[..., tuple[Any, ...]]


def _unary(op: str, scale: Operand = None, reduce_cmd: Operand = None) -> Instruction:
    view = kernels.view(T)
    return kernels.call(
        "activation", dst=view, op=op, data=view, scale=scale, reduce_cmd=reduce_cmd
    )


def _reduced(axes: int) -> Instruction:
    view = kernels.view(T)
    return kernels.call("tensor_reduce", dst=view, op="add", data=view, num_axes=axes)


def _vadd(x: Any, y: Any) -> tuple[Any, ...]:
    return (x + y,)


def _pipelined(x: Any) -> tuple[Any, ...]:
    return (np.exp(x) * x,)


def _transpose(x: Any) -> tuple[Any, ...]:
    return (np.ascontiguousarray(x.T),)


def _softmax(x: Any) -> tuple[Any, ...]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True),)


def _gemm(at: Any, b: Any) -> tuple[Any, ...]:
    product = at.astype(np.float32).T @ b.astype(np.float32)
    return (product.astype(ml_dtypes.bfloat16),)


def _wide_gemm(at: Any, b: Any) -> tuple[Any, ...]:
    return (at.astype(np.float32).T @ b.astype(np.float32),)


def _heads(x: Any, s: Any, w: Any) -> tuple[Any, ...]:
    return ((2 * x * s[:, :, None] * w).transpose(0, 2, 1),)


def _triangle(x: Any) -> tuple[Any, ...]:
    piece = np.arange(512) // 32
    return (np.where(piece % 4 <= piece // 4, x, 0).astype(np.float32),)


def _masked(x: Any) -> tuple[Any, ...]:
    columns = np.arange(128, dtype=np.float32)
    return (np.where(np.tri(128, dtype=bool), x + columns, np.float32(-1)),)


def _picked(x: Any) -> tuple[Any, ...]:
    put = x.copy()
    put[:, 3] = x[:, 2]
    return x[:4, 1], x[3], x[:, 2], x[:, 2, :5:2], put


def _chosen(x: Any) -> tuple[Any, ...]:
    return np.where(x < 0, np.float32(-2), x), np.where(x < 0, x, np.float32(0.5))


def _moments(x: Any) -> tuple[Any, ...]:
    return np.stack([x.mean(1), x.var(1)], axis=1), -2 * x.sum(1, keepdims=True)


def _ordered(x: Any) -> tuple[Any, ...]:
    left = x.copy()
    left[np.arange(128)[:, None], np.argsort(-x, axis=1)[:, :8]] = -np.inf
    left[:, 0] = -1e30
    places = np.argsort(-left, axis=1)[:, :8]
    return np.cumsum(x, axis=1), np.take_along_axis(left, places, axis=1), places.astype(np.uint32)


CASES: dict[str, tuple[Callable[[], Kernel], Reference]] = {
    "vadd": (kernels.vadd, _vadd),
    "pipelined": (kernels.pipelined, _pipelined),
    "matmul": (kernels.matmul, _gemm),
    "double rows": (kernels.double_rows, _wide_gemm),
    "softmax": (kernels.softmax, _softmax),
    "transposes": (kernels.transposes, _transpose),
    "heads": (kernels.heads, _heads),
    "triangle": (kernels.triangle, _triangle),
    "masked": (kernels.masked, _masked),
    "picked": (picking_kernels.picked, _picked),
    "chosen": (kernels.chosen, _chosen),
    "moments": (kernels.moments, _moments),
    "ordered": (row_kernels.ordered, _ordered),
}


def _arrays(kernel: Kernel) -> list[Any]:
    generator = np.random.default_rng(7)
    buffers = [kernel.buffers[name] for name in kernel.inputs]
    return [generator.standard_normal(b.shape).astype(b.dtype.numpy) for b in buffers]


@pytest.mark.parametrize("case", CASES)
def test_emitted_kernel_computes_what_it_should(case: str, judge: Judge) -> None:
    build, reference = CASES[case]
    kernel = build()
    source = emit_nki(kernel)
    functions = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    assert [f.name for f in functions] == [kernel.name]
    assert [ast.unparse(d) for d in functions[0].decorator_list] == ["nki.jit"]
    assert [a.arg for a in functions[0].args.args] == list(kernel.inputs)
    assert max(map(len, source.splitlines())) <= 100
    assert source == emit_nki(build())
    inputs = _arrays(kernel)
    judge(source, inputs, reference(*inputs))


def test_cases_cover_every_instruction_kind() -> None:
    builds = [*(build for build, _ in CASES.values()), collective_kernels.exchanged]
    used = {
        statement.kind
        for build in builds
        for statement in walk(build().body)
        if isinstance(statement, Instruction)
    }
    assert used == set(ROWS)


def test_rows_spell_every_parameter_of_the_instruction_table() -> None:
    spelled = {kind: sorted(p.name for p in row.parameters) for kind, row in ROWS.items()}
    assert spelled == {
        kind: sorted(p.name for p in row.parameters) for kind, row in INSTRUCTIONS.items()
    }


def test_source_reads_like_a_person_wrote_it() -> None:
    lines = emit_nki(kernels.matmul()).splitlines()
    for line in (
        "    at_v = at.reshape((2, 128, 256))",
        "    nisa.dma_copy(dst=a_sb, src=at_v.permute((1, 0, 2)))",
        "    for m in range(2):",
        "                nisa.nc_matmul(dst=acc, stationary=a_sb[0:128, k, 128 * m:128 * m + 128],",
        "                               moving=b_sb[0:128, k, 512 * n:512 * n + 512], "
        "accumulate=(k > 0))",
        "            nisa.tensor_copy(dst=res, src=acc, engine=nisa.engine.scalar)",
        "            nisa.dma_copy(dst=out[128 * m:128 * m + 128, 512 * n:512 * n + 512], src=res)",
        "    return out",
    ):
        assert line in lines
    assert "# K inner on partitions, K outer, M" in "\n".join(lines)


def test_names_are_legal_and_unique() -> None:
    x = kernels.buffer("x.1", (128, 4), Memory.INPUT)
    nl = kernels.buffer("nl", (128, 4), Memory.INPUT)
    step = kernels.buffer("lambda", (128, 4), Memory.OUTPUT)
    t, t1 = kernels.sbuf("x_1", 128, 4), kernels.sbuf("x_1_k1", 128, 4)
    copies = (
        kernels.dma(kernels.view(t), kernels.view(x)),
        kernels.call("tensor_copy", dst=kernels.view(t1), src=kernels.view(t)),
        kernels.dma(kernels.view(step), kernels.view(t1)),
        kernels.dma(kernels.view(step), kernels.view(nl)),
    )
    body = kernels.loop("k", 2, Alloc(buffer=t), Alloc(buffer=t1), *copies)
    source = emit_nki(kernels.kernel("odd names", (x, nl), (step,), body, body))
    assert "def odd_names(x_1, nl_):" in source
    assert "lambda_ = nl.ndarray(" in source
    labels = re.findall(r"name=f?(\".*?\")", source)
    executed = [eval(f"f{label}", {"k": k}) for label in labels for k in (0, 1)]
    assert len(set(executed)) == len(executed) - 1  # the output's label has no loop variable


def test_header_and_comments_say_what_the_reader_needs() -> None:
    x = kernels.buffer("x", (128, 4), Memory.INPUT)
    table = kernels.buffer("const.1", (128, 4), Memory.INPUT)
    new = kernels.buffer("x_new", (128, 4), Memory.OUTPUT, "bool")
    t = kernels.sbuf("t", 128, 4, note='rows on partitions """\\\n d1 free')
    built = dataclasses.replace(
        kernels.kernel(
            "step",
            (x,),
            (),
            Alloc(buffer=t),
            Note(text="load it"),
            kernels.dma(kernels.view(t), kernels.view(table)),
            kernels.loop("k", 3, Note(text="nothing happens here")),
            kernels.dma(kernels.view(new), kernels.view(t)),
            others=(table, new),
        ),
        bound_inputs={"const.1": np.zeros((128, 4))},
        mutated_outputs={"x_new": "x"},
    )
    source = emit_nki(built)
    for text in (
        "Target trn2, one core (LNC 1).",
        "const_1  (128, 4) float32, constant, kernel.bound_inputs['const.1']",
        "x_new    (128, 4) bool, new value of x",
        "def step(x, const_1):",
        "    # rows on partitions '''/ d1 free\n    t = nl.ndarray(",
        "    # load it\n    nisa.dma_copy(dst=t, src=const_1)",
        "    return x_new",
        "dtype=nl.uint8",
    ):
        assert text in source
    assert "for k" not in source


def test_a_changed_note_opens_a_paragraph() -> None:
    lines = emit_nki(kernels.softmax()).splitlines()
    at = lines.index("    # softmax")
    assert lines[at - 1] == ""
    assert lines.count("    # softmax") == 1


def test_memset_value_has_the_type_of_its_buffer() -> None:
    out = kernels.buffer("out", (128, 4), Memory.OUTPUT, "int32")
    t = kernels.sbuf("t", 128, 4, of="int32")

    def fill(value: float) -> Kernel:
        memset = kernels.call("memset", dst=kernels.view(t), value=value)
        store = kernels.dma(kernels.view(out), kernels.view(t))
        return kernels.kernel("fill", (), (out,), Alloc(buffer=t), memset, store)

    assert "value=7," in emit_nki(fill(7.0))
    with pytest.raises(KernelError, match=r"memset into 't', value: must be an integer"):
        emit_nki(fill(7.5))


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (kernels.call("warp"), "'warp' cannot be emitted"),
        (kernels.call("reciprocal", source=1), "no parameter 'source'"),
        (kernels.call("reciprocal", dst=kernels.view(T)), "misses argument 'data'"),
        (kernels.call("reciprocal", dst=3.0, data=kernels.view(T)), "dst: must be a view"),
        (kernels.call("memset", "warp", dst=kernels.view(T), value=0), r"isa\.engine\.tensor"),
        (_unary("frobnicate"), "nl.frobnicate, which is not one of"),
        (_unary("exp", scale="a"), "scale: must be a number"),
        (_unary("exp", reduce_cmd="never"), "nisa.reduce_cmd.never"),
        (kernels.call("reciprocal", dst=kernels.view(T), data=_ELSEWHERE), "'elsewhere'"),
        (kernels.call("iota", dst=kernels.view(T), pattern=4, channel_multiplier=0), "pairs"),
        (_reduced(2), "between 1 and 1"),
    ],
)
def test_what_has_no_spelling_is_refused(instruction: Instruction, message: str) -> None:
    built = kernels.kernel("bad", (), (), Alloc(buffer=T), instruction)
    with pytest.raises(KernelError, match=message):
        emit_nki(built)


def test_missing_border_buffer_is_refused() -> None:
    built = dataclasses.replace(kernels.vadd(), inputs=("x", "z"))
    with pytest.raises(KernelError, match="'z' as an input or output"):
        emit_nki(built)
