"""Lowers integer ops that float32 would round to ops that are exact, as numpy has them.

What the ranges of the operands show to be exact anyway stays as it is. The rest is computed modulo
2**32 or in halves (``words``), and wraps in its own type.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import BOOL, FLOAT32, INT32, DType
from nkigen_cp.ir.rewrite.apply import build
from nkigen_cp.ir.rewrite.division import DIVISIONS
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.pattern import Fold, Match, Node, Pattern, Var, node
from nkigen_cp.ir.rewrite.ranges import (
    ARITHMETIC,
    FLOAT32_WHOLE,
    Ranges,
    limits,
)
from nkigen_cp.ir.rewrite.site import Site
from nkigen_cp.ir.rewrite.whole_products import CONTRACTIONS
from nkigen_cp.ir.rewrite.words import (
    HALF_BITS,
    WORD_BITS,
    bits,
    flipped,
    inverted,
    lower,
    minus,
    plus,
    shifted_down,
    times,
    upper,
    whole,
    word_of,
    wrapped,
)
from nkigen_cp.ir.tensor.graph import Operand

Template = Node | Var


def make_integers_exact(draft: Draft) -> None:
    """Lower every integer op that float32 would round, until none is left."""
    ranges = Ranges(draft)
    for op in draft:
        _settle(op.name, draft, ranges)


def _settle(name: str, draft: Draft, ranges: Ranges) -> None:
    """Lower an op and what its lowering introduces; its range is known from then on."""
    while (template := _lowered(Site(draft=draft, op=draft.ops[name], ranges=ranges))) is not None:
        root = draft.ops[name]
        captures = {f"x{n}": value for n, value in enumerate(root.inputs)}
        for introduced in build(template, Match(draft=draft, root=root, captures=captures)):
            _settle(introduced, draft, ranges)
    for out in draft.ops[name].outputs:
        ranges.of(out)


def _lowered(site: Site) -> Template | None:
    """The op's lowering; None if it is exact as it is."""
    lower_by = LOWERINGS.get(site.op.kind)
    found = None if lower_by is None else lower_by(site)
    assert found is None or isinstance(found, (Node, Var))
    return found


def _arithmetic(site: Site) -> Pattern | None:
    if site.result.is_float or not site.integers:
        return None
    if site.result is BOOL:
        return node(_LOGICAL[site.op.kind], site.input(0), site.input(1))
    found = ARITHMETIC[site.op.kind](site.inputs)
    assert found is not None
    if found.exact and all(r.exact for r in site.inputs):
        if found.within(limits(site.result)):
            return None
        narrow = node(site.op.kind, site.input(0), site.input(1), dtype=INT32.name)
        return wrapped(narrow, INT32, found, site.result)
    word = word_of(site.result)
    computed = _MODULAR[site.op.kind](site.operand(0, word), site.operand(1, word), word)
    return wrapped(computed, word, limits(word), site.result)


_LOGICAL: Mapping[str, str] = {
    "add": "logical_or",
    "multiply": "logical_and",
    "subtract": "logical_xor",
}
_MODULAR: Mapping[str, Callable[[Pattern, Pattern, DType], Pattern]] = {
    "add": plus,
    "subtract": minus,
    "multiply": times,
}


def _extreme(site: Site) -> Pattern | None:
    if site.result.is_float or not site.integers or all(r.exact for r in site.inputs):
        return None
    a, b = (site.operand(n, site.result) for n in (0, 1))
    first = "greater" if site.op.kind == "maximum" else "less"
    return node("select", node(first, a, b), a, b)


def _comparison(site: Site) -> Pattern | None:
    """Words are compared by the differences of their halves, all of which float32 has."""
    if not site.integers or any(r.apart for r in site.inputs):
        return None
    kind, (a, b) = site.op.kind, (site.input(0), site.input(1))
    types = site.dtype(0), site.dtype(1)
    if kind in ("equal", "not_equal") and types[0] == types[1] and site.op.operands[1:]:
        return node(kind, bits("bitwise_xor", a, b, types[0]), whole(0))
    above = node("subtract", upper(a, types[0]), upper(b, types[1]), dtype=FLOAT32.name)
    below = node("subtract", lower(b, types[1]), lower(a, types[0]), dtype=FLOAT32.name)
    return node(kind, above, below)


def _sum(site: Site) -> Pattern | None:
    """In pieces of so few bits that float32 has their sums, put together modulo 2**32."""
    if site.result.is_float or not site.integers:
        return None
    (left,) = site.inputs
    total = left.times(site.reduced)
    if total.exact:
        narrow = node("sum", site.input(0), dtype=INT32.name)
        fits = total.within(limits(site.result))
        return None if fits else wrapped(narrow, INT32, total, site.result)
    word = word_of(site.result)
    width = min(HALF_BITS, FLOAT32_WHOLE.bit_length() - 1 - (site.reduced - 1).bit_length())
    if width < 1:
        raise UnsupportedError(
            f"a sum of {site.reduced} integers{site.op.where()} is too long to be exact; sum parts "
            f"of at most {FLOAT32_WHOLE // 2} elements"
        )
    known = WORD_BITS if left.low < 0 else left.high.bit_length()
    x = site.operand(0, word)
    parts = [_part(x, shift, width, word) for shift in range(0, known, width)]
    found = functools.reduce(lambda so_far, part: plus(so_far, part, word), parts)
    return wrapped(found, word, limits(word), site.result)


def _part(x: Pattern, shift: int, width: int, word: DType) -> Pattern:
    """The sum of so many bits of every element, where they belong."""
    moved = bits("logical_shift", x, whole(shift), word) if shift else x
    piece = bits("bitwise_and", moved, whole((1 << width) - 1), word)
    total = node("sum", piece, dtype=word.name)
    return bits("left_shift", total, whole(shift), word) if shift else total


def _reduced_extreme(site: Site) -> Pattern | None:
    """The largest upper half, and the largest lower one of those that have it.

    Turned over, the smallest is the largest.
    """
    if site.result.is_float or site.inputs[0].exact:
        return None
    dtype = site.result
    x: Pattern = site.input(0)
    x = inverted(x, dtype) if site.op.kind == "min" else x
    above = upper(x, dtype)
    top = node("max", above, dtype=FLOAT32.name)
    candidates = node("multiply", node("equal", above, top), lower(x, dtype), dtype=FLOAT32.name)
    rest = node("max", candidates, dtype=FLOAT32.name)
    found = bits(
        "bitwise_or",
        node("convert", top, dtype=dtype.name),
        node("convert", rest, dtype=dtype.name),
        dtype,
    )
    return inverted(found, dtype) if site.op.kind == "min" else found


def _cast(site: Site) -> Pattern | None:
    """As numpy casts: towards zero, modulo the range, and to whether it is not zero."""
    source, result = site.dtype(0), site.result
    if source == result or result.is_float:
        return None
    if result is BOOL:
        return node("not_equal", site.input(0), whole(0))
    if source.is_float:
        return node("convert", node("trunc", site.input(0), dtype=FLOAT32.name))
    found = site.operand(0, result)
    plain = isinstance(found, Node) and found.kind == "copy" and found.args == (site.input(0),)
    return None if plain else found


def _invert(site: Site) -> Pattern | None:
    return inverted(site.input(0), site.result)


def _bitwise(site: Site) -> Pattern | None:
    """Both operands in types as wide as the result."""
    wide = [i for i in site.op.operands if _size(site, i) == site.result.size_bytes]
    if len(wide) == len(site.op.operands):
        return None
    return node(site.op.kind, *(site.operand(n, site.result) for n in (0, 1)))


def _size(site: Site, value: Operand) -> int:
    return site.draft.dtype(value.tensor).size_bytes


def _right_shift(site: Site) -> Pattern | None:
    x, amount = (site.operand(n, site.result) for n in (0, 1))
    return shifted_down(x, amount, site.result)


def _power(site: Site) -> Pattern | None:
    """Squares of the base, each multiplied in where the exponent has its bit."""
    if site.result.is_float or not site.integers:
        return None
    word = word_of(site.result)
    square, exponent = (site.operand(n, word) for n in (0, 1))
    found: Pattern = whole(1)
    for bit in range(site.inputs[1].high.bit_length()):
        moved = bits("logical_shift", exponent, whole(bit), word)
        taken = node(
            "multiply", bits("bitwise_and", moved, whole(1), word), whole(-1), dtype=INT32.name
        )
        # Other than one only where the bit is set.
        turned = flipped(square, 1, word)
        factor = bits("bitwise_xor", bits("bitwise_and", taken, turned, word), whole(1), word)
        found = factor if isinstance(found, Fold) else times(found, factor, word)
        square = times(square, square, word)
    return wrapped(found, word, limits(word), site.result)


LOWERINGS: Mapping[str, Callable[[Site], Pattern | None]] = {
    **dict.fromkeys(("add", "subtract", "multiply"), _arithmetic),
    **dict.fromkeys(("maximum", "minimum"), _extreme),
    **dict.fromkeys(
        ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"), _comparison
    ),
    "sum": _sum,
    **dict.fromkeys(("max", "min"), _reduced_extreme),
    "copy": _cast,
    "invert": _invert,
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift"), _bitwise),
    "right_shift": _right_shift,
    "power": _power,
    **DIVISIONS,
    **CONTRACTIONS,
}
