"""Patterns over integers of 32 bits: sums modulo 2**32, halves that float32 has, casts that wrap.

Engines compute in float32, which has whole numbers up to 2**24. Bit operators keep all bits, and so
do sums and products of 32-bit integers on GpSimd (instructions.md).
"""

from __future__ import annotations

import functools

from nkigen_cp.ir.dtypes import DTYPES, INT32, DType
from nkigen_cp.ir.rewrite.formulas import number
from nkigen_cp.ir.rewrite.pattern import Fold, Node, Pattern, node
from nkigen_cp.ir.rewrite.ranges import Range, limits

WORD_BITS = 32
HALF_BITS = 16


@functools.cache
def whole(value: int) -> Fold:
    """An integer of a template."""
    return Fold(lambda: value)


def fixed(value: float | int) -> Fold:
    """A number of the program in a template."""
    return whole(value) if isinstance(value, int) else number(value)


def fitted(value: int, dtype: DType) -> int:
    """The integer of the type that equals ``value`` modulo its range."""
    range_ = limits(dtype)
    return (value - range_.low) % (range_.high - range_.low + 1) + range_.low


def mask(low: int, count: int, dtype: DType) -> Fold:
    """The integer of the type with ``count`` bits set from bit ``low`` on."""
    return whole(fitted(((1 << count) - 1) << low, dtype))


def bits(kind: str, a: Pattern, b: Pattern, dtype: DType) -> Node:
    """A bit operator."""
    return node(kind, a, b, dtype=dtype.name)


def flipped(x: Pattern, places: int, dtype: DType) -> Pattern:
    """Some bits turned over."""
    if isinstance(x, Fold):
        return whole(fitted(int(x.compute()) ^ places, dtype))
    return bits("bitwise_xor", x, whole(fitted(places, dtype)), dtype)


def inverted(x: Pattern, dtype: DType) -> Pattern:
    """All bits turned over: -1 - x."""
    return flipped(x, -1, dtype)


def plus(a: Pattern, b: Pattern, dtype: DType) -> Node:
    """``a + b`` modulo 2**32; as every commutative op, with its number last."""
    pair = (b, a) if isinstance(a, Fold) else (a, b)
    return node("integer_add", *pair, dtype=dtype.name)


def minus(a: Pattern, b: Pattern, dtype: DType) -> Pattern:
    """``a - b`` modulo 2**32: GpSimd adds, but it does not subtract."""
    if isinstance(b, Fold):
        return plus(a, whole(fitted(-int(b.compute()), dtype)), dtype)
    return inverted(plus(inverted(a, dtype), b, dtype), dtype)


def times(a: Pattern, b: Pattern, dtype: DType) -> Pattern:
    """``a * b`` modulo 2**32; powers of two shift."""
    if isinstance(a, Fold) and isinstance(b, Fold):
        return whole(fitted(int(a.compute()) * int(b.compute()), dtype))
    pair = (b, a) if isinstance(a, Fold) else (a, b)
    if isinstance(pair[1], Fold):
        factor = int(pair[1].compute()) % (1 << WORD_BITS)
        if factor and not factor & (factor - 1):
            return bits("left_shift", pair[0], whole(factor.bit_length() - 1), dtype)
    return node("integer_multiply", *pair, dtype=dtype.name)


def upper(x: Pattern, dtype: DType) -> Pattern:
    """The upper half of a word with zeros behind it: a number that float32 has."""
    if isinstance(x, Fold):
        return whole(int(x.compute()) >> HALF_BITS << HALF_BITS)
    return bits("bitwise_and", x, mask(HALF_BITS, WORD_BITS - HALF_BITS, dtype), dtype)


def lower(x: Pattern, dtype: DType) -> Pattern:
    """The lower half of a word: with ``upper`` it adds up to x."""
    if isinstance(x, Fold):
        return whole(int(x.compute()) % (1 << HALF_BITS))
    return bits("bitwise_and", x, mask(0, HALF_BITS, dtype), dtype)


def wrapped(x: Pattern, source: DType, range_: Range, result: DType) -> Pattern:
    """``x`` in another integer type, modulo its range; ``range_`` is what x may be."""
    if isinstance(x, Fold):
        return whole(fitted(int(x.compute()), result))
    if source == result:
        return x
    if range_.exact and range_.within(limits(result)):
        return node("copy", x, dtype=result.name)
    if result.size_bytes < source.size_bytes:
        return _cut(x, source, result)
    if result.size_bytes > source.size_bytes:
        x = node("copy", x, dtype=f"int{8 * result.size_bytes}")
    return bits("bitwise_or", x, whole(0), result)


def _cut(x: Pattern, source: DType, result: DType) -> Node:
    """The lowest bits of ``x`` in a narrower type."""
    width = 8 * result.size_bytes
    low = bits("bitwise_and", x, mask(0, width, source), source)
    if result.kind == "uint":
        return node("copy", low, dtype=result.name)
    # Turned over, the sign bit is one more that counts from -half on.
    half = 1 << (width - 1)
    turned = bits("bitwise_xor", low, whole(half), source)
    return node("add", turned, whole(-half), dtype=result.name)


def shifted_down(x: Pattern, amount: Pattern, dtype: DType) -> Node:
    """``x >> amount`` as numpy has it: for signed integers the sign follows from the left."""
    if dtype.kind == "uint":
        return bits("logical_shift", x, amount, dtype)
    # Turned over where negative, zeros are what follows.
    sign = node("multiply", node("less", x, whole(0)), whole(-1), dtype=dtype.name)
    turned = bits("bitwise_xor", x, sign, dtype)
    return bits("bitwise_xor", bits("logical_shift", turned, amount, dtype), sign, dtype)


def word_of(dtype: DType) -> DType:
    """The type of 32 bits in which integers of a type are computed modulo their range."""
    return DTYPES["uint32"] if dtype.name == "uint32" else INT32
