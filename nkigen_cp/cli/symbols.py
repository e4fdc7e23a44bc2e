"""Values that a sweep varies: sizes and types named in ``--arg``, and options of the solve."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.errors import ArgumentError

OPTIONS = ("target", "effort", "matmul_precision")
"""Options of a solve that may vary, as ``SolveOptions`` calls them."""

_VARIED = re.compile(r"([A-Za-z_][\w-]*)=([^,]+(?:,[^,]+)*)")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """One ``--vary``: a name and the values it takes in turn."""

    name: str
    values: tuple[str, ...]


def parse_varied(text: str) -> Varied:
    """``"S=128,512"`` as a Varied; dashes in names are underscores.

    Raises:
        ArgumentError: the text has another form.
    """
    match = _VARIED.fullmatch(text)
    if match is None:
        raise ArgumentError(f"--vary {text!r}: allowed is NAME=VALUE,VALUE,..., such as S=128,512")
    name, values = match.groups()
    return Varied(name=name.replace("-", "_"), values=tuple(values.split(",")))


def symbols(declared: Sequence[str]) -> tuple[str, ...]:
    """The names in capitals that stand for sizes or types in ``--arg`` texts, in order."""
    found = (part for text in declared for part in _parts(text)[1::2] if _NAME.fullmatch(part))
    return tuple(dict.fromkeys(found))


def substitute(text: str, values: Mapping[str, str]) -> str:
    """An ``--arg`` text with the names replaced: ``x:Sx64:f32`` with S=128 is ``x:128x64:f32``."""
    return "".join(
        part if k % 2 == 0 else values.get(part, part) for k, part in enumerate(_parts(text))
    )


def _parts(text: str) -> list[str]:
    """What stands between, then a size or type, and so on; the name of the array is no such."""
    name, colon, rest = text.partition(":")
    first, *others = re.split(r"([:x])", rest)
    return [name + colon, first, *others]


def combinations(varied: Sequence[Varied], declared: Sequence[str]) -> Iterator[dict[str, str]]:
    """Every choice of values, the last name varying fastest.

    Raises:
        ArgumentError: a name is varied twice or means nothing, or a size is not given.
    """
    names = [v.name for v in varied]
    allowed = (*symbols(declared), *OPTIONS)
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"--vary {name}: given twice; list all values in one --vary")
        if name not in allowed:
            raise ArgumentError(_unknown(name, allowed))
    missing = [s for s in symbols(declared) if s not in names]
    if missing:
        raise ArgumentError(
            f"--arg names {missing[0]!r} without a value: add --vary {missing[0]}=128,512"
        )
    for values in itertools.product(*(v.values for v in varied)):
        yield dict(zip(names, values, strict=True))


def _unknown(name: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"--vary {name}: allowed are {', '.join(allowed)}, and names in capitals that stand for "
        f"sizes or types in --arg, such as x:Sx64:f32{hint}"
    )
