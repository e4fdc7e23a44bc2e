"""Comparing results with a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

# Largest error allowed, relative to the largest value of the output: some roundings of the
# narrowest float the program computes with. float32 leaves room for approximated activations.
TOLERANCE: Mapping[str, float] = {
    "float32": 1e-4,
    "float16": 1e-2,
    "bfloat16": 4e-2,
    "float8_e4m3": 0.25,
    "float8_e5m2": 0.5,
}
PRECISION_TOLERANCE: Mapping[str, float] = {"exact": 0.0, "tf32": 1e-2, "bf16": 4e-2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output against its reference; ``relative`` is to the reference's largest value."""

    name: str
    absolute: float
    relative: float
    tolerance: float

    @property
    def matches(self) -> bool:
        """Whether the error is within the tolerance; NaN never is."""
        return self.relative <= self.tolerance


def leaves(result: object) -> list[NDArray[Any]]:
    """The arrays of a result, nested tuples, lists and dicts flattened in order."""
    if result is None:
        return []
    if isinstance(result, Mapping):
        return leaves(list(cast("Mapping[Any, Any]", result).values()))
    if isinstance(result, tuple | list):
        return [leaf for part in cast("Iterable[Any]", result) for leaf in leaves(part)]
    return [np.asarray(result)]


def tolerance(dtype_names: Iterable[str], matmul_precision: str = "exact") -> float:
    """The error allowed of a program whose tensors have these dtypes."""
    floats = [TOLERANCE[name] for name in dtype_names if name in TOLERANCE]
    return max([*floats, PRECISION_TOLERANCE[matmul_precision], 0.0])


def compare(name: str, actual: NDArray[Any], reference: NDArray[Any], allowed: float) -> Difference:
    """The largest error of ``actual``; a wrong shape counts as infinite."""
    if actual.shape != reference.shape:
        return Difference(name=name, absolute=np.inf, relative=np.inf, tolerance=allowed)
    wide = np.asarray(actual, np.float64)
    exact = np.asarray(reference, np.float64)
    same = (wide == exact) | (np.isnan(wide) & np.isnan(exact))
    with np.errstate(invalid="ignore"):
        errors = np.where(same, 0.0, np.abs(wide - exact))
    finite = np.abs(exact[np.isfinite(exact)])
    absolute = float(np.max(errors, initial=0.0))
    scale = float(np.max(finite, initial=0.0)) or 1.0
    return Difference(name=name, absolute=absolute, relative=absolute / scale, tolerance=allowed)
