from __future__ import annotations

import pytest

from nkigen_cp.emit.signatures import check_source, load_api
from nkigen_cp.errors import KernelError

IMPORTS = "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n"
HEAD = IMPORTS + "\n\n@nki.jit\ndef f(a, b):\n    "


@pytest.mark.parametrize(
    "line",
    [
        "nisa.tensor_copy(a, b, engine=nisa.engine.vector)",
        "nisa.activation(dst=a, op=nl.exp, data=b.permute((0, 2, 1)), reduce_op=None)",
        "x = nl.ndarray((128, 4), dtype=nl.float32, buffer=nl.psum, name=f'x_{1}')",
    ],
)
def test_calls_of_the_api_pass(line: str) -> None:
    check_source(HEAD + line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nisa.tensor_cpy(dst=a, src=b)", "unknown function nki.isa.tensor_cpy"),
        ("nisa.tensor_copy(dst=a)", "misses argument 'src'"),
        ("nisa.tensor_copy(dst=a, source=b)", "no argument 'source'"),
        ("nisa.tensor_copy(a, dst=a, src=b)", "'dst' twice"),
        ("nisa.reciprocal(a, b, 1, 2)", "takes 3 arguments"),
        ("nisa.tensor_copy(dst=a, src=b, engine=nisa.engine.warp)", "nisa.engine.warp"),
        ("nisa.tensor_copy(dst=a, src=b, engine='vector')", "'engine' is 'vector'"),
        ("nisa.tensor_copy(dst=a, src=b, engine=None)", "'engine' is None"),
        ("nisa.tensor_tensor(dst=a, data1=a, data2=b, op=None)", "'op' is None"),
        ("nisa.tensor_tensor(dst=a, data1=a, data2=b, op=nl.plus)", "nl.plus"),
        ("x = nl.ndarray((1, 2), dtype=nl.float31)", "nl.float31"),
        ("x = nl.cow", "unknown name nki.language.cow"),
        ("a.flip()", "unknown tensor method 'flip'"),
        ("a.permute()", "misses argument 'dims'"),
        ("import numpy", "import of 'numpy'"),
        ("x = (", "not Python"),
    ],
)
def test_anything_else_is_refused(line: str, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        check_source(HEAD + line)


def test_error_names_the_line_and_the_release() -> None:
    with pytest.raises(KernelError, match=r"line 8: .*SDK 2\.32\.0.*NKI 0\.6\.0"):
        check_source(HEAD + "nisa.tensor_cpy(dst=a, src=b)")


def test_api_holds_what_the_instructions_need() -> None:
    api = load_api()
    assert {"engine", "reduce_cmd", "op", "dtype", "buffer"} <= set(api.choices)
    assert [p.name for p in api.functions["nki.isa.dma_copy"] if p.default is None] == [
        "dst",
        "src",
    ]
