"""Elementwise functions of numpy, from the kernel to the simulator's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import assert_same, normal, special, whole, within

UNARY: tuple[tuple[Any, Callable[..., Any]], ...] = (
    *((f, special) for f in (np.rint, np.floor, np.ceil, np.trunc, np.sign, np.arctan)),
    *((f, special) for f in (np.isnan, np.isinf, np.isfinite)),
    *((f, normal) for f in (np.exp2, np.expm1, np.sinh, np.cosh, np.cbrt, np.logical_not)),
    *((f, within(-500, 500)) for f in (np.sin, np.cos)),
    (np.tan, within(-1.4, 1.4)),
    *((f, within(0.01, 50)) for f in (np.log1p, np.log2, np.log10)),
    *((f, within(-0.99, 0.99)) for f in (np.arcsin, np.arccos, np.log1p, np.expm1)),
    *((f, within(-1e-4, 1e-4)) for f in (np.log1p, np.expm1, np.sinh)),
)
BINARY: tuple[tuple[Any, Callable[..., Any]], ...] = (
    *((f, whole) for f in (np.equal, np.not_equal, np.less, np.less_equal)),
    *((f, whole) for f in (np.greater, np.greater_equal)),
    *((f, whole) for f in (np.logical_and, np.logical_or, np.logical_xor)),
    (np.logaddexp, normal),
    (np.hypot, normal),
)


@pytest.mark.parametrize(("function", "values"), UNARY, ids=lambda v: getattr(v, "__name__", ""))
def test_functions_of_one_tensor(function: Any, values: Callable[..., Any]) -> None:
    assert_same(function, [values(5, 40)])


@pytest.mark.parametrize(("function", "values"), BINARY, ids=lambda v: getattr(v, "__name__", ""))
def test_functions_of_two_tensors(function: Any, values: Callable[..., Any]) -> None:
    assert_same(function, [values(5, 40), values(5, 40, seed=1)])


@pytest.mark.parametrize("function", [np.floor, np.sin, np.isnan, np.expm1])
@pytest.mark.parametrize("shape", [(), (1,), (129,), (2, 1, 3), (200, 7), (2, 3, 1, 5, 4)])
def test_shapes_of_any_rank(function: Any, shape: tuple[int, ...]) -> None:
    assert_same(function, [normal(*shape)])


Fn = Callable[[Any, Any], Any]
where: Any = np.where
rounded: Any = cast("Any", np).round
clip: Any = cast("Any", np).clip
CHOICES: dict[str, Fn] = {
    "tensors": lambda a, b: where(a > b, a, b),
    "a number": lambda a, b: where(a > b, a, 0.0),
    "a number first": lambda a, b: where(a > b, -1.0, b * 2),
    "numbers": lambda a, b: where(a > b, 3.0, -2.0),
    "infinities": lambda a, b: where(a > b, 0.0, -np.inf) + where(a > b, np.inf, 1.0),
    "a column": lambda a, b: where(a > b, a, b[:, :1]),
    "a row": lambda a, b: where(a > b, a[:1], b),
    "a condition of numbers": lambda a, b: where(a, b, -b),
    "not taken": lambda a, b: where(a > 0, np.log(np.abs(a)), b),
    "bits": lambda a, b: ((a > 0) & (b > 0)) | ~(a < b) ^ (a == b),
    "clipped": lambda a, b: clip(a, -1, 1.5) + clip(b, 0, None),
    "rounded": lambda a, b: rounded(a, 2) + rounded(b),
}


@pytest.mark.parametrize("function", CHOICES.values(), ids=CHOICES.keys())
def test_choices(function: Fn) -> None:
    assert_same(function, [special(20, 33), normal(20, 33, seed=1)])


@pytest.mark.parametrize("function", [np.log1p, np.cbrt, np.arctan, np.exp2, np.sin])
def test_functions_of_integers(function: Any) -> None:
    assert_same(function, [whole(5, 40).astype(np.int32) % 7])


def test_functions_of_an_integer_and_a_float() -> None:
    assert_same(np.hypot, [whole(5, 40).astype(np.int32), normal(5, 40)])


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    **{f.__name__: f for f in (cp.ops.gelu, cp.ops.erf, cp.ops.softplus, cp.ops.mish)},
    "log_softmax": cp.ops.log_softmax,
    "log_softmax of columns": lambda x: cp.ops.log_softmax(x, axis=0),
    "layer_norm": lambda x: cp.ops.layer_norm(x, x[0], x[1]),
}


@pytest.mark.parametrize("function", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_activations(function: Callable[[Any], Any]) -> None:
    assert_same(function, [normal(20, 33)], tolerance=2e-4)


def test_a_mask_alone_is_refused() -> None:
    def fn(a: Any) -> Any:
        return where(a > 0)

    with pytest.raises(NotImplementedError, match=r"(?s)give x and y.*test_functions"):
        cp.trace(fn, normal(3, 4))
