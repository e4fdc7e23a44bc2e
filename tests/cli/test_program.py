from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nkigen_cp.cli.program import ArrayArgument, bind, load_function, parse_argument
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.dtypes import BFLOAT16, BOOL, FLOAT32, INT32


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("x:128x1024:bf16", (128, 1024), BFLOAT16),
        ("x:8:float32", (8,), FLOAT32),
        ("x:scalar:i32", (), INT32),
        ("x:0x3:bool", (0, 3), BOOL),
    ],
)
def test_parse_argument(text: str, shape: tuple[int, ...], dtype: Any) -> None:
    assert parse_argument(text) == ArrayArgument(name="x", shape=shape, dtype=dtype)


@pytest.mark.parametrize("text", ["", "x", "x:8", "x:8:f32:1", "x:-1:f32", "x:8,8:f32", "1:8:f32"])
def test_parse_argument_says_the_form(text: str) -> None:
    with pytest.raises(ArgumentError, match="NAME:SHAPE:DTYPE, such as"):
        parse_argument(text)


def test_parse_argument_lists_dtypes() -> None:
    with pytest.raises(ArgumentError, match=r"x:8:f64.*not supported; supported: .*bfloat16"):
        parse_argument("x:8:f64")


def test_draw_is_normal_for_floats_and_small_for_integers() -> None:
    rng = np.random.default_rng(0)
    matrix = parse_argument("x:400x100:f32").draw(rng)
    assert matrix.dtype == np.float32
    assert math.isclose(float(matrix.std()), 1 / 20, rel_tol=0.05)
    integers = parse_argument("x:100:i32").draw(rng)
    assert (integers.min(), integers.max()) == (0, 7)
    assert parse_argument("x:scalar:bf16").draw(rng).shape == ()
    assert parse_argument("x:0x3:bool").draw(rng).shape == (0, 3)


def test_load_function_imports_neighbours_and_restores_modules(tmp_path: Path) -> None:
    (tmp_path / "cli_neighbour.py").write_text("def double(x):\n    return x + x\n")
    (tmp_path / "json.py").write_text("from cli_neighbour import double\n")
    import json  # noqa: PLC0415, the module that must survive a user's file of its name

    try:
        assert load_function(f"{tmp_path}/json.py:double")(2) == 4
    finally:
        sys.modules.pop("cli_neighbour", None)
    assert sys.modules["json"] is json
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("model.py", "allowed is FILE.py:FUNCTION"),
        (":f", "allowed is FILE.py:FUNCTION"),
        ("none.py:f", "no such file"),
        ("{}/model.py:g", "has no function 'g'; it has f$"),
        ("{}/model.py:VALUE", "has no function 'VALUE'"),
        ("{}/broken.py:f", r"fails to import \(ZeroDivisionError: division by zero\)"),
        ("{}/notes.txt:f", "is no Python file"),
    ],
)
def test_load_function_errors(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "model.py").write_text("VALUE = 3\ndef f(x): return x\ndef _g(x): return x\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ArgumentError, match=message):
        load_function(place.format(tmp_path))


def _function(x: int, y: int = 2, *, z: int) -> tuple[int, int, int]:
    return x, y, z


def test_bind_orders_by_signature() -> None:
    args, kwargs = bind(_function, {"z": 3, "y": 5, "x": 1})
    assert (args, kwargs) == ((1, 5), {"z": 3})
    args, kwargs = bind(_function, {"z": 3, "x": 1})
    assert _function(*args, **kwargs) == (1, 2, 3)


@pytest.mark.parametrize("values", [{"x": 1}, {"x": 1, "z": 2, "w": 3}])
def test_bind_names_what_is_missing_or_unknown(values: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match=r"_function\(x: .*'[zw]'.*--arg NAME:SHAPE:DTYPE"):
        bind(_function, values)
