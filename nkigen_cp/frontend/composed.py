# The tables hold lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Functions of elements and of rows written in numpy, out of those of the other tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkigen_cp.frontend.dispatch import Handler
from nkigen_cp.frontend.named import named, xp
from nkigen_cp.frontend.operands import normalize_axes, normalize_axis
from nkigen_cp.frontend.tensor import TracedTensor


def _nan_aside(fold: Any) -> Handler:
    """An extreme in which a number wins against nan."""

    def handle(x1: Any, x2: Any, /) -> Any:
        return xp.where(xp.isnan(x1), x2, xp.where(xp.isnan(x2), x1, fold(x1, x2)))

    return handle


def _is_negative(x: Any, /) -> Any:
    """Whether the sign is minus; 1 / -0.0 is minus infinity."""
    return (x < 0) | (xp.divide(1.0, x) < 0)


def _copysign(x1: Any, x2: Any, /) -> Any:
    """The magnitude of ``x1`` with the sign of ``x2``."""
    size = abs(x1)
    return xp.where(_is_negative(x2), -size, size)


def _arcsinh(x: Any, /) -> Any:
    """``log(|x| + sqrt(x**2 + 1))`` with the sign of x, exact near 0."""
    size = abs(x)
    return xp.sign(x) * xp.log1p(size + size * (size / (xp.hypot(size, 1.0) + 1.0)))


def _arccosh(x: Any, /) -> Any:
    """``log(x + sqrt(x**2 - 1))``, exact near 1."""
    above = x - 1.0
    return xp.log1p(above + xp.sqrt(above) * xp.sqrt(x + 1.0))


def _arctan2(x1: Any, x2: Any, /) -> Any:
    """The angle of the point (x2, x1); zeros count as positive."""
    y, x = abs(x1), abs(x2)
    large, small = xp.maximum(y, x), xp.minimum(y, x)
    ratio = xp.where(large > 0, xp.where(small == large, 1.0, small / large), 0.0)
    angle = xp.arctan(ratio)
    angle = xp.where(y > x, math.pi / 2 - angle, angle)
    angle = xp.where(x2 < 0, math.pi - angle, angle)
    return xp.where(x1 < 0, -angle, angle)


def _heaviside(x1: Any, x2: Any, /) -> Any:
    """0 below zero, 1 above it, ``x2`` at it."""
    return xp.where(x1 < 0, 0.0, xp.where(x1 > 0, 1.0, xp.where(x1 == 0, x2, x1)))


def _logaddexp2(x1: Any, x2: Any, /) -> Any:
    """``log2(2**x1 + 2**x2)``."""
    return xp.logaddexp(x1 * math.log(2), x2 * math.log(2)) * (1 / math.log(2))


def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of the products along one axis."""
    return xp.sum(x1 * x2, axis=axis)


def _matvec(x1: Any, x2: Any, /) -> Any:
    """A matrix times a vector."""
    return xp.matmul(x1, x2[..., None])[..., 0]


def _vecmat(x1: Any, x2: Any, /) -> Any:
    """A vector times a matrix."""
    return xp.matmul(x1[..., None, :], x2)[..., 0, :]


def _modf(x: Any, /) -> tuple[Any, Any]:
    """The parts behind and before the point."""
    whole = xp.trunc(x)
    return xp.where(xp.isinf(x), 0.0, x - whole), whole


def _fix(x: Any, /) -> Any:
    """Rounded towards zero."""
    return xp.trunc(x)


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in the places of nan and infinities."""
    del copy
    limits = np.finfo(np.float32) if x.dtype.itemsize == 4 else np.finfo(x.dtype)
    high, low = (posinf, limits.max), (neginf, limits.min)
    found = xp.where(xp.isnan(x), nan, x)
    found = xp.where(x == np.inf, float(high[0] if posinf is not None else high[1]), found)
    return xp.where(x == -np.inf, float(low[0] if neginf is not None else low[1]), found)


def _without_nan(function: Any, neutral: float, *, is_extreme: bool = False) -> Handler:
    """A reduction that leaves nan out; an extreme of nothing else is nan."""

    def handle(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        missing = xp.isnan(a)
        found = function(xp.where(missing, neutral, a), axis=axis, keepdims=keepdims)
        if not is_extreme:
            return found
        return xp.where(xp.all(missing, axis=axis, keepdims=keepdims), math.nan, found)

    return handle


def _nan_mean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The mean of what is not nan."""
    count = xp.sum(~xp.isnan(a), axis=axis, keepdims=keepdims)
    return xp.nansum(a, axis=axis, keepdims=keepdims) / count.astype(np.float32)


def _nan_variance(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """The mean square of what differs from the mean, nan left out."""
    off = a - _nan_mean(a, axis, keepdims=True)
    count = xp.sum(~xp.isnan(a), axis=axis, keepdims=keepdims).astype(np.float32)
    return xp.nansum(off * off, axis=axis, keepdims=keepdims) / (count - ddof)


def _nan_deviation(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """The square root of ``nanvar``."""
    return xp.sqrt(_nan_variance(a, axis, ddof=ddof, keepdims=keepdims))


def ptp(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest less the smallest element."""
    most, least = (f(a, axis=axis, keepdims=keepdims) for f in (xp.max, xp.min))
    return most - least


def average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """The mean, every element counting as much as its weight says."""
    if weights is None:
        return xp.mean(a, axis=axis, keepdims=keepdims)
    if xp.ndim(weights) == 1 < xp.ndim(a):
        dim = normalize_axis(axis, xp.ndim(a))
        weights = xp.reshape(weights, [-1 if d == dim else 1 for d in range(xp.ndim(a))])
    total = xp.sum(xp.broadcast_to(weights, xp.shape(a)), axis=axis, keepdims=keepdims)
    return xp.sum(a * weights, axis=axis, keepdims=keepdims) / total


def median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The middle element in order, or the mean of the middle two."""
    dims = normalize_axes(axis, a.ndim)
    others = [d for d in range(a.ndim) if d not in dims]
    flat = xp.transpose(a, [*others, *dims]).reshape([*(a.shape[d] for d in others), -1])
    count = flat.shape[-1]
    middle = xp.sort(flat, axis=-1)[..., (count - 1) // 2 : count // 2 + 1]
    found = xp.where(xp.any(xp.isnan(flat), axis=-1), math.nan, xp.mean(middle, axis=-1))
    shape = [1 if d in dims else n for d, n in enumerate(a.shape)]
    return xp.reshape(found, shape) if keepdims else found


def partition(a: Any, kth: Any, axis: Any = -1) -> Any:
    """The elements in order, in which also every ``kth`` one is in its place."""
    del kth
    return xp.sort(a, axis=axis)


def choose(a: Any, choices: Any) -> Any:
    """By the number in ``a`` an element of one of the choices."""
    found = choices[0]
    for number, other in enumerate(choices[1:], 1):
        found = xp.where(a == number, other, found)
    return found


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The choice of the first condition that holds."""
    found = default
    for condition, choice in [*zip(condlist, choicelist, strict=True)][::-1]:
        found = xp.where(condition, choice, found)
    return found


def _kept(a: Any, mask: Any, axis: Any) -> Any:
    """The positions of a dim where a known mask holds."""
    if axis is None:
        a, axis = xp.ravel(a), 0
    return xp.take(a, np.flatnonzero(mask), axis=axis)


def compress(condition: Any, a: Any, axis: Any = None) -> Any:
    """The positions of a dim where a condition known while tracing holds."""
    return _kept(a, np.asarray(condition), axis)


def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """A dim without the positions that ``obj`` names."""
    size = arr.size if axis is None else arr.shape[normalize_axis(axis, arr.ndim)]
    mask = np.ones(size, np.bool_)
    mask[obj] = False
    return _kept(arr, mask, axis)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether elements differ by at most ``atol + rtol * |b|``."""
    near = xp.isfinite(b) & (abs(a - b) <= atol + rtol * abs(b))
    found = near | xp.equal(a, b)
    return found | (xp.isnan(a) & xp.isnan(b)) if equal_nan else found


def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether all elements are close: a traced truth value."""
    return xp.all(isclose(a, b, rtol, atol, equal_nan))


def isin(element: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """Whether an element is one of those of a second array."""
    tests = xp.ravel(test_elements)
    found = xp.any(xp.equal(element[..., None], tests), axis=-1)
    return ~found if invert else found


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that numpy combines to."""
    kinds = [x.dtype if isinstance(x, TracedTensor) else x for x in arrays_and_dtypes]
    return np.result_type(*kinds)


FUNCTIONS: dict[Callable[..., Any], Handler] = named(
    {
        "fix": _fix,
        "real": lambda val: val,
        "iscomplexobj": lambda x: False,
        "isrealobj": lambda x: True,
        "nan_to_num": nan_to_num,
        "nansum": _without_nan(xp.sum, 0.0),
        "nanprod": _without_nan(xp.prod, 1.0),
        "nanmax": _without_nan(xp.max, -math.inf, is_extreme=True),
        "nanmin": _without_nan(xp.min, math.inf, is_extreme=True),
        "nanmean": _nan_mean,
        "nanvar": _nan_variance,
        "nanstd": _nan_deviation,
        "nancumsum": lambda a, axis=None: xp.cumsum(xp.where(xp.isnan(a), 0.0, a), axis=axis),
        "nancumprod": lambda a, axis=None: xp.cumprod(xp.where(xp.isnan(a), 1.0, a), axis=axis),
        "cumulative_sum": lambda x, /, *, axis=None: xp.cumsum(x, axis=axis),
        "cumulative_prod": lambda x, /, *, axis=None: xp.cumprod(x, axis=axis),
        "ptp": ptp,
        "average": average,
        "median": median,
        "partition": partition,
        "choose": choose,
        "select": select,
        "compress": compress,
        "delete": delete,
        "isclose": isclose,
        "allclose": allclose,
        "array_equal": lambda a1, a2: xp.all(xp.equal(a1, a2)),
        "isin": isin,
        "result_type": result_type,
    }
)

UFUNCS: dict[Any, Handler] = named(
    {
        "fmax": _nan_aside(xp.maximum),
        "fmin": _nan_aside(xp.minimum),
        "fabs": lambda x, /: abs(x) * 1.0,
        "conjugate": lambda x, /: x,
        "degrees": lambda x, /: x * (180 / math.pi),
        "rad2deg": lambda x, /: x * (180 / math.pi),
        "radians": lambda x, /: x * (math.pi / 180),
        "deg2rad": lambda x, /: x * (math.pi / 180),
        "signbit": _is_negative,
        "copysign": _copysign,
        "heaviside": _heaviside,
        "float_power": lambda x1, x2, /: xp.power(x1 * 1.0, x2 * 1.0),
        "logaddexp2": _logaddexp2,
        "arcsinh": _arcsinh,
        "arccosh": _arccosh,
        "arctanh": lambda x, /: xp.log1p(2.0 * x / (1.0 - x)) * 0.5,
        "arctan2": _arctan2,
        "modf": _modf,
        "vecdot": _vecdot,
        "matvec": _matvec,
        "vecmat": _vecmat,
    }
)
