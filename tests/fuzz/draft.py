"""A program in the making: its values so far, in float64 and in float32."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from nkigen_cp import ops
from tests.fuzz.program import Array, Input, Line, sizes_of

SIZES = (1, 2, 3, 5, 7, 16, 64, 100, 128, 129, 256, 257, 1000)
ELEMENTS_MAX = 40_000
MAGNITUDE_MAX = 300.0
CONDITION_MAX = 24.0
"""Float32 roundings may end up this much larger, relative to the result's rms."""

_NARROWING = re.compile(r"\.astype\((np\.float32|\"bfloat16\")\)")


@dataclass(slots=True)
class Draft:
    """Lines taken so far. ``exact`` and ``single`` hold every value in float64 and float32."""

    seed: int
    rng: random.Random
    dtypes: tuple[str, ...]
    inputs: list[Input] = field(default_factory=list[Input])
    lines: list[Line] = field(default_factory=list[Line])
    exact: dict[str, Array] = field(default_factory=dict[str, Array])
    single: dict[str, Array] = field(default_factory=dict[str, Array])

    def value(self, name: str) -> Array:
        return self.exact[name]

    def size(self) -> int:
        return self.rng.choice(SIZES)

    def pick(self, domain: Callable[[Array], bool] = lambda v: True) -> str | None:
        """A value of the domain, the newer the likelier."""
        names = [n for n, v in self.exact.items() if domain(v)]
        if not names:
            return None
        return self.rng.choices(names, [k + 1 for k in range(len(names))])[0]

    def partner(self, name: str, domain: Callable[[Array], bool]) -> str | None:
        """A value that broadcasts against another, sometimes a fresh input."""
        shape = self.value(name).shape

        def fits(v: Array) -> bool:
            return domain(v) and _broadcasts(v.shape, shape)

        found = self.pick(fits)
        if found and found != name and self.rng.random() < 0.8:
            return found
        keep = self.rng.randint(0, len(shape))
        small = tuple(s if self.rng.random() < 0.7 else 1 for s in shape[keep:])
        return self.new_input(small if keep else shape, positive=True)

    def new_input(
        self,
        shape: tuple[int, ...],
        *,
        positive: bool = False,
        most: int = ELEMENTS_MAX,
        dtype: str | None = None,
    ) -> str | None:
        """A further argument of the program, unless there are enough or it is too large."""
        if len(self.inputs) >= 5 or int(np.prod(shape, dtype=np.int64)) > most:
            return None
        made = Input(
            name=f"x{len(self.inputs)}",
            shape=shape,
            dtype=dtype or self.rng.choice(self.dtypes),
            positive=positive or self.rng.random() < 0.3,
        )
        self.inputs.append(made)
        drawn = made.array(self.seed)
        self.single[made.name] = drawn.astype(np.float32)
        self.exact[made.name] = drawn.astype(np.float64)
        return made.name

    def whole(self, shape: tuple[int, ...]) -> str | None:
        """Integers that every type of the program has: of an earlier input of them, or a new one.

        What chooses or compares takes these alone, so that no rounding changes what is chosen.
        """
        names = [i.name for i in self.inputs if i.dtype == "int32" and i.shape == shape]
        if names and self.rng.random() < 0.7:
            return self.rng.choice(names)
        return self.new_input(shape, dtype="int32")

    def first_input(self) -> None:
        rank = self.rng.choices(range(5), (1, 3, 6, 5, 3))[0]
        self.new_input(sizes_of(self.rng, rank, ELEMENTS_MAX, SIZES))

    def take(self, text: str) -> bool:
        """Add a line if its value is finite, not too large, and well conditioned."""
        exact, single = (self._evaluated(text, v) for v in (self.exact, self.single))
        if not _sound(exact, single):
            return False
        name = f"v{len(self.lines)}"
        reads = tuple(dict.fromkeys(re.findall(r"\b[xv]\d+\b", text)))
        self.lines.append(Line(name=name, text=text, reads=reads))
        self.exact[name] = exact
        self.single[name] = single.astype(np.float32)
        return True

    def _evaluated(self, text: str, values: dict[str, Array]) -> Array:
        # Casts change nothing here: a value is what it is in either precision.
        scope: dict[str, Any] = {"np": np, "ops": ops, "ml_dtypes": ml_dtypes}
        with np.errstate(all="ignore"):
            return np.asarray(eval(_NARROWING.sub("", text), scope, dict(values)))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


def _sound(exact: Array, single: Array) -> bool:
    if not 0 < exact.size <= ELEMENTS_MAX or exact.ndim > 4 or not np.all(np.isfinite(exact)):
        return False
    rms = float(np.sqrt(np.mean(np.square(exact))))
    if rms < 1e-3 or float(np.max(np.abs(exact))) > MAGNITUDE_MAX:
        return False
    error = float(np.max(np.abs(single - exact))) / rms
    return error <= CONDITION_MAX * float(np.finfo(np.float32).eps)
