"""A fuzzed program: inputs, one assignment per line, and what it returns. It is its own source."""

from __future__ import annotations

import linecache
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from nkigen_cp import ops

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An argument. ``positive`` ones lie between 0.5 and 2, others are standard normal."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    positive: bool = False

    def array(self, seed: int) -> Array:
        """The argument's values under a program's seed."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        if self.dtype == "int32":
            return np.asarray(rng.integers(-9, 10, self.shape), np.int32)
        drawn = rng.uniform(0.5, 2.0, self.shape)
        values = drawn if self.positive else rng.standard_normal(self.shape)
        return np.asarray(values, np.float32).astype(np.dtype(self.dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``name = text``; ``reads`` are the earlier values that the text mentions."""

    name: str
    text: str
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """``sbuf_bytes`` per partition shrinks the target's SBUF; None leaves it as it is."""

    seed: int
    inputs: tuple[Input, ...]
    lines: tuple[Line, ...]
    returns: tuple[str, ...]
    sbuf_bytes: int | None = None

    @property
    def source(self) -> str:
        """The function's text; with ``np`` and ``ops`` in scope it runs."""
        arguments = ", ".join(i.name for i in self.inputs)
        body = [f"    {line.name} = {line.text}" for line in self.lines]
        values = ", ".join(self.returns) + ("," if len(self.returns) == 1 else "")
        return "\n".join([f"def program({arguments}):", *body, f"    return ({values})", ""])

    @property
    def function(self) -> Callable[..., tuple[Any, ...]]:
        """The program as a function whose lines tracing can look up."""
        file = f"<fuzz {self.seed}>"
        text = self.source
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        scope: dict[str, Any] = {"np": np, "ops": ops, "ml_dtypes": ml_dtypes}
        exec(compile(text, file, "exec"), scope)
        return scope["program"]

    @property
    def arrays(self) -> list[Array]:
        return [i.array(self.seed) for i in self.inputs]

    def describe(self) -> str:
        """Everything needed to see and repeat the program."""
        inputs = ", ".join(f"{i.name}: {i.shape} {i.dtype}" for i in self.inputs)
        sbuf = f", SBUF {self.sbuf_bytes} B" if self.sbuf_bytes else ""
        return f"seed {self.seed} ({inputs}{sbuf})\n{self.source}"


def sizes_of(rng: random.Random, rank: int, most: int, among: tuple[int, ...]) -> tuple[int, ...]:
    """A random shape of a rank with at most ``most`` elements."""
    while True:
        shape = tuple(rng.choice(among) for _ in range(rank))
        if np.prod(shape, dtype=np.int64) <= most:
            return shape
