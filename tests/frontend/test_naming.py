from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nkigen_cp.frontend import name, ops, spec, trace


def names(fn: Any, *args: Any) -> list[str]:
    return [op.name for op in trace(fn, *(args or (spec((4, 4)),))).ops.values()]


def test_variables_name_the_last_tensor_of_their_statement() -> None:
    def fn(x: Any) -> Any:
        scores = x @ x.T * 0.5
        probs = ops.softmax(
            scores,
            axis=-1,
        )
        out: Any = probs + 1
        return out

    found = names(fn)
    assert found[:3] == ["copy_1", "contract_1", "scores"]
    assert found[-2:] == ["probs", "out"]


def test_reassigned_variables_and_loops_are_numbered() -> None:
    def fn(x: Any) -> Any:
        for _ in range(3):
            x = x * 2 + 1
        return x - 1

    assert names(fn) == [
        "multiply_1",
        "x_2",
        "multiply_2",
        "x_3",
        "multiply_3",
        "x_4",
        "subtract_1",
    ]


def test_tuples_and_comprehensions() -> None:
    def fn(x: Any) -> Any:
        low, high = x[:2], x[2:]
        first, second = np.split(x, 2)
        parts = [part * 2 for part in (low, high)]
        return first + second + parts[0] + parts[1]

    found = names(fn)
    assert found[:4] == ["low", "high", "first", "second"]
    assert "parts" not in found


def _rms(x: Any) -> Any:
    x32 = x * x
    return x32 / x32.mean()


def _outer(x: Any) -> Any:
    inner: Any = _rms(x)
    return inner


def test_helpers_are_prefixed_by_the_variable_or_the_function() -> None:
    def fn(x: Any) -> Any:
        q_rms = _rms(x)
        return _rms(q_rms) + 1

    assert names(fn) == [
        "q_rms.x32",
        "q_rms.mean_1",
        "q_rms",
        "_rms.x32",
        "_rms.mean_1",
        "_rms.divide_1",
        "add_1",
    ]


def test_nested_helpers() -> None:
    def fn(x: Any) -> Any:
        out = _outer(x)
        return out

    assert names(fn) == ["out.inner.x32", "out.inner.mean_1", "out"]


def test_explicit_names_come_first() -> None:
    def fn(x: Any) -> Any:
        scores = x * 2
        final = name(scores + 1, "scores")
        return final

    assert names(fn) == ["scores_2", "scores"]


def test_captured_arrays_take_their_variables_name() -> None:
    table = np.arange(4, dtype=np.float32)

    def fn(x: Any) -> Any:
        mask = np.triu(np.ones((4, 4), np.float32))
        return x * table + mask

    assert list(trace(fn, spec((4, 4))).constants) == ["table", "mask"]


def test_sources_are_the_users_lines() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x)

    (op,) = trace(fn, spec((2,))).ops.values()
    assert op.source is not None
    assert Path(op.source.file).name == "test_naming.py"
    assert op.source.line == fn.__code__.co_firstlineno + 1
    assert op.source.function == "fn"


def test_functions_without_source() -> None:
    scope: dict[str, Any] = {}
    exec("def fn(x):\n    y = x * 2\n    z = y + 1\n    return z\n", scope)
    assert names(scope["fn"]) == ["y", "add_1"]
