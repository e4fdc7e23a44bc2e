"""Identifiers of the emitted source: legal, unique, and close to the user's names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

RESERVED = (
    "nki",
    "nl",
    "nisa",
    # Builtins of the documented Python subset; a parameter of that name would hide them.
    *("range", "len", "min", "max", "print", "isinstance", "enumerate", "zip", "int", "float"),
    *("bool", "str", "tuple", "list", "dict", "abs", "sum", "sorted", "reversed"),
)
_ILLEGAL = re.compile(r"[^0-9A-Za-z_]+")


def identifier(name: str) -> str:
    """A legal Python identifier like ``name``: ``q.rms`` becomes ``q_rms``, ``in`` ``in_``."""
    text = _ILLEGAL.sub("_", name)
    if not text or text[0].isdigit():
        text = f"t_{text}"
    if keyword.iskeyword(text) or text in RESERVED:
        text = f"{text}_"
    return text


class Names:
    """Hands out identifiers that are all different; later requests for a taken one get ``_2``."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = dict.fromkeys(taken)

    def fresh(self, name: str) -> str:
        """An identifier for ``name`` that nobody else has."""
        base = identifier(name)
        text, count = base, 1
        while text in self._taken:
            count += 1
            text = f"{base}_{count}"
        self._taken[text] = None
        return text


class Labels:
    """Values of ``name=`` for allocations: unique per executed allocation."""

    def __init__(self, identifiers: Iterable[str]) -> None:
        self._names = Names()
        self._identifiers = tuple(identifiers)

    def literal(self, name: str, loop_vars: tuple[str, ...]) -> str:
        """Source text of the label of an allocation inside loops over ``loop_vars``."""
        label = self._names.fresh(name)
        if not loop_vars:
            return f'"{label}"'
        # x in a loop over k is labelled x_k0, x_k1, ...: keep clear of a buffer called x_k1.
        executed = "".join(rf"_{v}\d+" for v in loop_vars)
        first = f"_{loop_vars[0]}"
        while any(
            re.fullmatch(label + executed, other)
            for other in self._identifiers
            if other.startswith(label + first)
        ):
            label += "_"
        return f'f"{label}' + "".join(f"_{v}{{{v}}}" for v in loop_vars) + '"'
