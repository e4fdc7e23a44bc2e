"""Random small programs through the whole compiler, against numpy in float64.

``make fuzz`` draws fresh ones; an ordinary test run repeats the same few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nkigen_cp as cp
from nkigen_cp.cli.compare import compare

EXAMPLES = int(os.environ.get("NKIGEN_CP_FUZZ_EXAMPLES", "0"))
TOLERANCE = 1e-3

UNARY: Mapping[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "square": lambda x: np.square(np.tanh(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: _exp_of_row(x) / np.sum(_exp_of_row(x), axis=-1, keepdims=True),
    "centre": lambda x: x - np.mean(x, axis=-1, keepdims=True),
    "row_max": lambda x: x - np.max(x, axis=-1, keepdims=True),
    "column_sum": lambda x: np.sum(x, axis=0, keepdims=True) / x.shape[0],
    "transpose": np.transpose,
    "half": lambda x: x[:, : (x.shape[1] + 1) // 2],
    "doubled": lambda x: np.concatenate([x, -1.5 * x], axis=0),
    "gram": lambda x: (x @ x.T) / x.shape[1],
}
BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": lambda a, b: np.tanh(a) * b,
    "maximum": np.maximum,
    "matmul": lambda a, b: (a @ b) / a.shape[1],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One op; operands count back from the newest value."""

    op: str
    left: int
    right: int


STEPS = st.builds(
    Step,
    op=st.sampled_from([*UNARY, *BINARY]),
    left=st.integers(0, 3),
    right=st.integers(0, 3),
)
SIZES = st.sampled_from([1, 2, 16, 64, 100, 128, 130, 256])


def _exp_of_row(x: Any) -> Any:
    return np.exp(x - np.max(x, axis=-1, keepdims=True))


def _fits(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    if op == "matmul":
        return a[1] == b[0]
    return all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True))


def _program(steps: Sequence[Step]) -> Callable[[Any, Any], Any]:
    def program(x: Any, y: Any) -> Any:
        values = [x, y]
        for step in steps:
            a, b = values[-1 - step.left % len(values)], values[-1 - step.right % len(values)]
            if step.op in UNARY:
                values.append(UNARY[step.op](a))
            elif _fits(step.op, a.shape, b.shape):
                values.append(BINARY[step.op](a, b))
        return values[-1] + 0.5

    return program


@settings(
    max_examples=EXAMPLES or 6,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=1, max_size=6), rows=SIZES, columns=SIZES, shared=SIZES)
def test_kernel_computes_what_numpy_does(
    steps: list[Step], rows: int, columns: int, shared: int
) -> None:
    program = _program(steps)
    rng = np.random.default_rng(rows * 1000 + columns)
    x = rng.standard_normal((rows, shared)).astype(np.float32)
    y = rng.standard_normal((shared, columns)).astype(np.float32)
    plan = cp.solve(cp.trace(program, x, y), effort="fast")
    actual = np.asarray(cp.simulate(cp.lower(plan), x, y))
    reference = program(x.astype(np.float64), y.astype(np.float64))
    difference = compare("result", actual, reference, TOLERANCE)
    assert difference.matches, difference
