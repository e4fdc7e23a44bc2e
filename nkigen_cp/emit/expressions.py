"""Source text of numbers and of integers that are affine in loop variables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Affine, LoopTerm


def number(value: float | int) -> str:
    """A literal; floats in the shortest form that gives the same float32.

    Raises:
        KernelError: the value is not a number.
    """
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    value = float(value)
    if math.isnan(value):
        raise KernelError("nan cannot be written as a literal; use a finite number")
    if math.isinf(value):
        return 'float("inf")' if value > 0 else 'float("-inf")'
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return repr(float(str(single)) if float(single) == value else value)


def affine(value: Affine | int, loop_vars: Mapping[str, str]) -> str:
    """``128 * k + 64``, ``n - 1``, ``64 - k``: positive parts first.

    Raises:
        KernelError: a term names a variable that no loop defines.
    """
    if isinstance(value, int):
        value = Affine(const=value)
    terms = (Affine() + value).terms  # addition merges equal variables and drops zero strides
    positive = [_term(t, loop_vars) for t in terms if t.stride > 0]
    negative = [_term(t, loop_vars) for t in terms if t.stride < 0]
    (positive if value.const > 0 else negative).extend([str(abs(value.const))] * bool(value.const))
    if not positive:
        return "-" + " - ".join(negative) if negative else "0"
    return " - ".join([" + ".join(positive), *negative])


def _term(term: LoopTerm, loop_vars: Mapping[str, str]) -> str:
    if term.var not in loop_vars:
        raise KernelError(
            f"an index uses loop variable {term.var!r}, which no loop defines; "
            f"defined: {', '.join(loop_vars) or 'none'}"
        )
    stride = abs(term.stride)
    return loop_vars[term.var] if stride == 1 else f"{stride} * {loop_vars[term.var]}"


def positive_condition(value: Affine, loop_vars: Mapping[str, str]) -> str:
    """``True``, ``False`` or ``(k > 0)``: whether the affine integer is above zero."""
    value = Affine() + value
    if not value.terms:
        return str(value.const > 0)
    if value.const < 0:
        return f"({affine(Affine(terms=value.terms), loop_vars)} > {-value.const})"
    return f"({affine(value, loop_vars)} > 0)"
