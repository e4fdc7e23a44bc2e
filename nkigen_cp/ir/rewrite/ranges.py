"""What is known of the values of integer tensors: bounds, by interval arithmetic over the graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.tensor.graph import Immediate, Input, Op
from nkigen_cp.ir.tensor.table import OPS, Result

FLOAT32_WHOLE = 2**24
"""Whole numbers up to here, and no longer all of those above, are float32 numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Integers from ``low`` to ``high``, both included."""

    low: int
    high: int

    @property
    def exact(self) -> bool:
        """Whether float32 has all of them."""
        return -FLOAT32_WHOLE <= self.low and self.high <= FLOAT32_WHOLE

    @property
    def apart(self) -> bool:
        """Whether rounding to float32 never makes another integer equal to one of them."""
        return -FLOAT32_WHOLE < self.low and self.high < FLOAT32_WHOLE

    def within(self, other: Range) -> bool:
        """Whether the other range has all of them."""
        return other.low <= self.low and self.high <= other.high

    def times(self, count: int) -> Range:
        """Sums of so many of them."""
        return Range(low=min(self.low * count, 0), high=max(self.high * count, 0))


BOOLS = Range(low=0, high=1)


def limits(dtype: DType) -> Range:
    """All values of an integer type."""
    if dtype.kind == "bool":
        return BOOLS
    info = np.iinfo(dtype.name)
    return Range(low=int(info.min), high=int(info.max))


def of_corners(function: Callable[[int, int], int]) -> Callable[[Sequence[Range]], Range]:
    """The range of a function that takes its extremes where both arguments do."""

    def combine(ranges: Sequence[Range]) -> Range:
        a, b = ranges
        corners = [function(x, y) for x, y in itertools.product((a.low, a.high), (b.low, b.high))]
        return Range(low=min(corners), high=max(corners))

    return combine


def hull(ranges: Sequence[Range]) -> Range:
    """The smallest range with all values of several."""
    return Range(low=min(r.low for r in ranges), high=max(r.high for r in ranges))


def _masked(ranges: Sequence[Range]) -> Range | None:
    """What bitwise_and leaves of non-negative numbers is at most the smaller of the two."""
    tops = [r.high for r in ranges if r.low >= 0]
    return Range(low=0, high=min(tops)) if tops else None


def _united(ranges: Sequence[Range]) -> Range | None:
    """bitwise_or and bitwise_xor set no bit above the highest of non-negative numbers."""
    if any(r.low < 0 for r in ranges):
        return None
    return Range(low=0, high=(1 << max(r.high for r in ranges).bit_length()) - 1)


Combine = Callable[[Sequence[Range]], Range | None]

ARITHMETIC: Mapping[str, Combine] = {
    "add": of_corners(lambda x, y: x + y),
    "subtract": of_corners(lambda x, y: x - y),
    "multiply": of_corners(lambda x, y: x * y),
    "maximum": of_corners(max),
    "minimum": of_corners(min),
}
_COMBINE: Mapping[str, Combine] = {
    **ARITHMETIC,
    **dict.fromkeys(("copy", "reshape", "max", "min"), hull),
    "select": lambda ranges: hull(ranges[1:]),
    "bitwise_and": _masked,
    **dict.fromkeys(("bitwise_or", "bitwise_xor"), _united),
}


@dataclass(slots=True)
class Ranges:
    """The ranges of a draft's integers, found when they are asked for."""

    draft: Draft
    found: dict[str, Range] = field(default_factory=dict[str, Range])

    def of(self, value: Input) -> Range | None:
        """The range of an input; None for floats."""
        if isinstance(value, Immediate):
            number = value.value
            return Range(low=number, high=number) if isinstance(number, int) else None
        dtype = self.draft.dtype(value.tensor)
        return None if dtype.is_float else self.tensor(value.tensor, dtype)

    def tensor(self, name: str, dtype: DType) -> Range:
        """The range of a tensor of integers."""
        if name not in self.found:
            self.found[name] = self._tensor(name, dtype)
        return self.found[name]

    def _tensor(self, name: str, dtype: DType) -> Range:
        array = self.draft.constants.get(name)
        if array is not None and array.size:
            return Range(low=int(np.min(array)), high=int(np.max(array)))
        writers = self.draft.writers(name)
        made = [self.result(op) for op in writers]
        known = [r for r in made if r is not None and r.within(limits(dtype))]
        return hull(known) if writers and len(known) == len(writers) else limits(dtype)

    def result(self, op: Op) -> Range | None:
        """What an op computes if it computes with all bits; None if nothing is known."""
        if OPS[op.kind].result is Result.BOOL:
            return BOOLS
        inputs = [self.of(i) for i in op.inputs]
        known = [r for r in inputs if r is not None]
        if len(known) < len(inputs):
            return None
        if op.kind == "sum":
            return known[0].times(math.prod(a.size for a in op.axes if a.reduced))
        return _COMBINE[op.kind](known) if op.kind in _COMBINE else None
