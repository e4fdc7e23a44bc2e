"""Loops: the values affine expressions take in them, and how often their bodies run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.nki.kernel import Affine, Loop, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Smallest and largest value an affine expression takes."""

    low: int
    high: int


def value_range(value: Affine, loops: Sequence[Loop]) -> Range:
    """Bounds of an affine value over all iterations of ``loops`` (outermost first).

    Exact where no inner loop is empty for the outer values that attain the bound.
    """
    return Range(low=_extreme(value, loops, high=False), high=_extreme(value, loops, high=True))


def _extreme(value: Affine, loops: Sequence[Loop], *, high: bool) -> int:
    # Inner bounds may use outer variables, so variables go innermost first, by substitution.
    for loop in reversed(loops):
        stride = sum(t.stride for t in value.terms if t.var == loop.var)
        if stride:
            rest = Affine(
                const=value.const, terms=tuple(t for t in value.terms if t.var != loop.var)
            )
            at = loop.upper + -1 if (stride > 0) == high else loop.lower
            value = rest + at * stride
    return value.value({})


def iterations(loop: Loop, env: Mapping[str, int]) -> list[tuple[dict[str, int], int]]:
    """The loop's iterations as (variables, repeats).

    One entry stands for all, unless the trip count of a loop inside depends on the variable.
    """
    values = range(loop.lower.value(env), loop.upper.value(env))
    if not values:
        return []
    inner = [s for s in walk(loop.body) if isinstance(s, Loop)]
    terms = [t for other in inner for t in (*other.lower.terms, *other.upper.terms)]
    if any(t.var == loop.var for t in terms):
        return [({**env, loop.var: value}, 1) for value in values]
    return [({**env, loop.var: values[0]}, len(values))]
