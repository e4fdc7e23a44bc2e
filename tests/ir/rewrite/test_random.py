"""Random graphs compute the same before and after, and are a fixpoint after one call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Graph
from tests.ir.rewrite.sketch import Sketch, check

ROWS, COLUMNS = 3, 4
UNARY = ("exp", "negative", "sqrt", "square", "sigmoid", "tanh", "abs")
BINARY = ("add", "subtract", "multiply", "maximum", "divide")
NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5)
DTYPES = ("float32", "bfloat16", "float16")
Pick = Callable[[tuple[str, ...] | list[str]], str]


def random_graph(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    s = Sketch()
    names = [s.input("x", (ROWS, COLUMNS)), s.input("y", (ROWS, COLUMNS), "bfloat16")]
    names.append(s.constant("c", np.full((ROWS, COLUMNS), 2.0, np.float32)))
    sixteenths = np.reshape(np.arange(ROWS * COLUMNS, dtype=np.float32), (ROWS, COLUMNS)) / 16
    names.append(s.constant("d", sixteenths))  # casts of them are exact

    def pick(among: tuple[str, ...] | list[str]) -> str:
        return among[int(rng.integers(len(among)))]

    steps = (
        lambda: s.op(pick(UNARY), positive(s, pick(names))),
        lambda: s.op(pick(BINARY), pick(names), positive(s, pick(names))),
        lambda: s.op(pick(BINARY[:4]), pick(names), NUMBERS[int(rng.integers(5))]),
        lambda: s.op(pick(BINARY[:4]), NUMBERS[int(rng.integers(5))], pick(names)),
        lambda: s.op("power", pick(names), int(rng.integers(1, 4))),
        lambda: s.cast(pick(names), pick(DTYPES)),
        lambda: s.op("multiply", pick(names), s.reduce("mean", pick(names))),
        lambda: s.matmul(s.transpose(pick(names)), pick(names)),
        lambda: s.concat(s.slice(pick(names), 0, 1), s.slice(pick(names), 1, COLUMNS)),
    )
    for _ in range(14):
        name = steps[int(rng.integers(len(steps)))]()
        if s.tensors[name].shape == (ROWS, COLUMNS):
            names.append(s.op("tanh", name) if rng.integers(3) == 0 else name)
    written = [n for n in names[4:] if n not in s.inputs]
    return s.graph(*dict.fromkeys((pick(written), written[-1])))


def positive(s: Sketch, name: str) -> str:
    """Something to divide by and to take roots of."""
    return s.op("add", s.op("sigmoid", name), 0.5)


@pytest.mark.parametrize("precision", ["exact", "bf16"])
@pytest.mark.parametrize("seed", range(25))
def test_random_graph(seed: int, precision: str) -> None:
    before = random_graph(seed)
    after = canonicalise(before, matmul_precision=precision)
    check(before, after)
    again = canonicalise(after, matmul_precision=precision)
    assert list(again.ops.items()) == list(after.ops.items())
