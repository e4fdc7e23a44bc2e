# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Functions of numpy that are compositions of others, several in one kernel each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.api.functions import assert_same, normal, whole, within
from tests.api.test_writes import assert_same as assert_written

numpy: Any = np
Fn = Callable[..., Any]


def with_gaps(*shape: int) -> Any:
    """Floats, some of them nan, one row of nothing else."""
    values = normal(*shape)
    values[::2, 1::3] = np.nan
    values[-1] = np.nan
    return values


NUMBERS: dict[str, Fn] = {
    "signs": lambda a, b: (numpy.copysign(a, b), numpy.signbit(a), numpy.heaviside(a, b)),
    "angles": lambda a, b: (numpy.arctan2(a, b), numpy.degrees(a), numpy.radians(a)),
    "hyperbolic": lambda a, b: (
        numpy.arcsinh(a * 1e3),
        numpy.arccosh(abs(a) + 1),
        numpy.arctanh(a / 20),
        numpy.logaddexp2(a, b),
    ),
    "parts": lambda a, b: (*numpy.modf(a), numpy.fix(b), numpy.fabs(a), numpy.float_power(a, 2)),
    "numbers beside tensors": lambda a, b: (numpy.hypot(a, 1.0), numpy.logaddexp(0.5, b)),
    "statistics": lambda a, b: (
        numpy.ptp(a, axis=0),
        numpy.average(a, axis=1, weights=abs(b[0])),
        numpy.average(a),
        numpy.sum(a, axis=1, where=b > 0, initial=2.0),
        numpy.max(a, axis=0, where=b > 0, initial=-1.0, keepdims=True),
        numpy.mean(a, axis=1, where=b > -9),
    ),
    "order": lambda a, b: (
        numpy.median(a, axis=1),
        numpy.median(b[:, :4], axis=(0, 1), keepdims=True),
        numpy.partition(a, 2)[:, 2],
    ),
    "choices": lambda a, b: (
        numpy.select([a > 1, b > 0], [a, b], -1.0),
        numpy.choose((a > 0).astype("int32"), [a, b]),
        numpy.isin(numpy.rint(a), [1.0, 2.0], invert=True),
        numpy.isclose(a, a + b * 1e-6),
        numpy.nan_to_num(a, nan=1.0),
    ),
    "matrices": lambda a, b: (
        numpy.kron(a[:2, :2], b[:3, :2]),
        numpy.linalg.matrix_power(a[:5, :5] / 5, 3),
        numpy.linalg.multi_dot([a, b.T, a]),
        numpy.cross(a[:, :3], b[:, 2:5]),
        numpy.multiply.outer(a[0], b[0, :3]),
    ),
    "diagonals": lambda a, b: (numpy.diag(a, 1), numpy.diag(b[0], -2), numpy.diagflat(a[:2, :2])),
    "arranged": lambda a, b: (
        numpy.rot90(a),
        numpy.rot90(a, 3),
        numpy.rollaxis(a, 1),
        numpy.block([[a, b], [b, a]]),
        numpy.dstack([a, b]),
        numpy.column_stack([a[0], b[0]]),
        numpy.append(a, b),
        *numpy.meshgrid(a[0], b[:, 0]),
    ),
    "cut": lambda a, b: (
        *numpy.hsplit(a, [2, 5]),
        *numpy.atleast_3d(a, b[0]),
        numpy.atleast_2d(b[0]),
        numpy.delete(a, [0, 3], axis=1),
        numpy.compress([True, False, True], a, axis=0),
        numpy.ediff1d(a),
        numpy.trapezoid(a, dx=0.5) if hasattr(np, "trapezoid") else a[0],
    ),
    "arrays": lambda a, b: (
        numpy.asarray(a) * 2,
        numpy.array([a[0], b[0]]),
        numpy.array(a, dtype=numpy.int32),
        numpy.ascontiguousarray(a.T),
    ),
    "methods": lambda a, b: (
        a.std(axis=0),
        a.var(),
        (b / 9).prod(axis=1),
        a.clip(-1, 1),
        a.round(1),
        a.diagonal(),
        a.trace(),
        (a > 0).any(axis=1),
        (b > 0).all(),
        a.conj() + b.real,
        a * a.itemsize,
    ),
    "folds of truth": lambda a, b: (
        numpy.logical_and.reduce(a > -2),
        numpy.logical_or.reduce(b > 4, axis=1),
    ),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(case: str) -> None:
    assert_same(NUMBERS[case], [normal(6, 7), normal(6, 7, seed=1)], tolerance=2e-4)


GAPS: dict[str, Fn] = {
    "extremes": lambda a: (numpy.nanmax(a, axis=1), numpy.nanmin(a, axis=0, keepdims=True)),
    "sums": lambda a: (numpy.nansum(a), numpy.nanprod(a[:2], axis=1), numpy.nancumsum(a, axis=1)),
    "moments": lambda a: (numpy.nanmean(a, axis=1), numpy.nanvar(a), numpy.nanstd(a[:2], axis=1)),
    "aside": lambda a: (numpy.fmax(a, a[::-1]), numpy.fmin(a, 0.5), numpy.nan_to_num(a / 0)),
}


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
@pytest.mark.parametrize("case", GAPS)
def test_nan_left_out(case: str) -> None:
    values = with_gaps(5, 7)
    if case == "moments":
        values[-1] = 2
    assert_same(GAPS[case], [values], tolerance=2e-4)


def test_integers() -> None:
    def fn(a: Any) -> Any:
        return numpy.max(a, axis=1, where=a > 0, initial=-7), numpy.sum(a, where=a > 1), a.sum()

    assert_same(fn, [whole(4, 9).astype(np.int32)])


def _masked(a: Any, b: Any) -> None:
    np.add(a, b, out=a, where=b > 0)


def _in_order(a: Any, b: Any) -> None:
    a.sort()
    a[0] = b[0]


WRITES: dict[str, Fn] = {
    "where of a ufunc": _masked,
    "sort": _in_order,
    "fill_diagonal": lambda a, b: numpy.fill_diagonal(a, b[0, 0]),
    "a view of a function": lambda a, b: numpy.rollaxis(a, 1)[1].fill(b[0, 0]),
    "put": lambda a, b: a.put([1, 3], b[0, :2]),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes(case: str) -> None:
    assert_written(WRITES[case], [normal(5, 6), normal(5, 6, seed=1)])


def test_signs_of_zeros() -> None:
    values = np.asarray([[0.0, -0.0, 2.0, -2.0, np.inf, -np.inf]], np.float32)
    assert_same(lambda a: (numpy.signbit(a), numpy.copysign(1.0 + a * 0, a)), [values])
    assert_same(lambda a: numpy.arctan2(a[:, 2:], a[:, :4] + 1), [within(-2, 2)(2, 6)])
