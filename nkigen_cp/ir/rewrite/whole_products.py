"""Contractions of integers, exact modulo the range of the result's type.

The Tensor Engine multiplies floats and adds in float32. An operand is cut into pieces of so few
bits that all sums of products of two pieces are whole numbers that float32 has; the products of
pieces are then added modulo 2**32, each moved to its place. Small integers need no cutting.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import BFLOAT16, BOOL, FLOAT16, FLOAT32, INT32, DType
from nkigen_cp.ir.rewrite.pattern import Pattern, node
from nkigen_cp.ir.rewrite.ranges import FLOAT32_WHOLE, Range, limits
from nkigen_cp.ir.rewrite.site import Site
from nkigen_cp.ir.rewrite.words import (
    WORD_BITS,
    bits,
    plus,
    shifted_down,
    whole,
    word_of,
    wrapped,
)

_HOLDS: tuple[tuple[DType, int, int], ...] = (
    (BFLOAT16, 2**8, 1),
    (FLOAT16, 2**11, 1),
    (FLOAT32, FLOAT32_WHOLE, 4),
)
"""Types of the Tensor Engine, whole numbers up to which they have all, and passes of a matmul."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """So many bits of an operand from ``shift`` on: all the others are in other pieces.

    The top piece has all that are left; it may be negative.
    """

    shift: int
    width: int
    bound: int
    top: bool = False
    negative: bool = False


def _pieces(range_: Range, width: int) -> list[_Piece]:
    """An operand in pieces of a width; the last one has what is left, and the sign."""
    found: list[_Piece] = []
    shift, (low, high) = 0, (range_.low, range_.high)
    while not -(1 << width) <= low <= high <= 1 << width:
        bound = (1 << width) - 1
        found.append(_Piece(shift=shift, width=width, bound=bound))
        shift, low, high = shift + width, low >> width, high >> width
    bound = max(-low, high, 1)
    return [*found, _Piece(shift=shift, width=width, bound=bound, top=True, negative=low < 0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """How both operands are cut, and what the products of their pieces take."""

    sides: tuple[list[_Piece], list[_Piece]]
    dtype: DType
    cost: int

    @property
    def pairs(self) -> Iterator[tuple[_Piece, _Piece]]:
        """Pieces whose product reaches into a word."""
        for a, b in itertools.product(*self.sides):
            if a.shift + b.shift < WORD_BITS:
                yield a, b


def _cut(ranges: Sequence[Range], count: int) -> _Cut | None:
    """The cheapest way to cut operands of which so many products are added."""
    found: list[_Cut] = []
    for widths in itertools.product(range(1, FLOAT32_WHOLE.bit_length()), repeat=2):
        left, right = (_pieces(r, w) for r, w in zip(ranges, widths, strict=True))
        bounds = max(p.bound for p in left), max(p.bound for p in right)
        if bounds[0] * bounds[1] * count > FLOAT32_WHOLE:
            continue
        dtype, passes = next((d, p) for d, most, p in _HOLDS if max(bounds) <= most)
        cut = _Cut(sides=(left, right), dtype=dtype, cost=0)
        products = sum(1 for _ in cut.pairs)
        cost = 4 * passes * products + len(left) + len(right)
        found.append(_Cut(sides=cut.sides, dtype=dtype, cost=cost))
    return min(found, key=lambda c: c.cost, default=None)


def _taken(x: Pattern, piece: _Piece, word: DType, dtype: DType) -> Pattern:
    """A piece of an operand as a float."""
    if piece.shift:
        down = shifted_down if piece.negative else functools.partial(bits, "logical_shift")
        x = down(x, whole(piece.shift), word)
    if not piece.top:
        x = bits("bitwise_and", x, whole((1 << piece.width) - 1), word)
    return node("copy", x, dtype=dtype.name)


def _contraction(site: Site) -> Pattern | None:
    if all(site.dtype(n).is_float for n in (0, 1)):
        return None
    if site.result.is_float:
        return node("contract", *(_as_float(site, n) for n in (0, 1)))
    if site.result is BOOL:
        pair = (node("copy", site.input(n), dtype=BFLOAT16.name) for n in (0, 1))
        return node("greater", node("contract", *pair, dtype=FLOAT32.name), whole(0))
    word = word_of(site.result)
    operands = [site.operand(n, word) for n in (0, 1)]
    ranges = [r if r.within(limits(word)) else limits(word) for r in site.inputs]
    cut = _cut(ranges, site.reduced)
    if cut is None:
        raise UnsupportedError(
            f"a product of integers over {site.reduced} positions{site.op.where()} is too long to "
            f"be exact; add products over at most {FLOAT32_WHOLE} each"
        )
    left, right = (
        {p: _taken(x, p, word, cut.dtype) for p in side}
        for x, side in zip(operands, cut.sides, strict=True)
    )
    total = functools.reduce(
        lambda so_far, part: plus(so_far, part, word),
        (_product(left[a], right[b], a.shift + b.shift, word) for a, b in cut.pairs),
    )
    return wrapped(total, word, limits(word), site.result)


def _product(a: Pattern, b: Pattern, shift: int, word: DType) -> Pattern:
    """The product of two pieces in its place in the word."""
    product = node("contract", a, b, dtype=FLOAT32.name)
    made = node("convert", product, dtype=INT32.name)
    found = made if word is INT32 else bits("bitwise_or", made, whole(0), word)
    return bits("left_shift", found, whole(shift), word) if shift else found


def _as_float(site: Site, n: int) -> Pattern:
    """An operand beside a float: numpy casts integers to floats."""
    x = site.input(n)
    return x if site.dtype(n).is_float else node("copy", x, dtype=FLOAT32.name)


CONTRACTIONS: Mapping[str, Callable[[Site], Pattern | None]] = {"contract": _contraction}
