# Kernels are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""What the compiler accepts, from its tables: functions of numpy, and ops with what computes them.

The instructions of an op are found by planning a small kernel that has only this op, so that the
page cannot say anything else than what the solver chooses from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from nkigen_cp.errors import NkigenError
from nkigen_cp.frontend import collectives, fori_loop, spec, trace
from nkigen_cp.frontend import ops as more
from nkigen_cp.frontend.elementwise import elementwise
from nkigen_cp.frontend.tracing import TABLES
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.row import Family, OpRow
from nkigen_cp.ir.tensor.table import OPS
from nkigen_cp.solver.instance import build_instance
from nkigen_cp.solver.plan import Contract, Elementwise, Spec
from nkigen_cp.targets import TRN2

DTYPES = ("float32", "int32", "bool")
"""Types under which every op is tried."""

ROWS, COLUMNS = 96, 100

_SAMPLES: Mapping[str, Callable[..., Any]] = {
    "contract": lambda x: x @ x.T,
    "copy": lambda x: x.astype("float16"),
    "convert": lambda x: x.astype("int16"),
    "reshape": lambda x: np.reshape(x, (75, 128)),
    "cumsum": np.add.accumulate,
    "cumprod": np.multiply.accumulate,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "top": lambda x: more.topk(x, 8)[0],
    "find": lambda x: more.topk(x, 8)[1],
    "mean": lambda x: np.mean(x, axis=-1),
    "gather": lambda x: more.gather_rows(x, x[0].astype("int32")),
    "scatter": lambda x: more.scatter_rows(x, x[0].astype("int32"), x[:1]),
}
"""Kernels with the ops that are no function of elements and no reduction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A function that kernels may call: its name, its arguments, what it does."""

    name: str
    arguments: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """An op: the types it was planned in, and the instructions that are candidates in the first."""

    row: OpRow
    dtypes: tuple[str, ...]
    instructions: tuple[str, ...]


def functions() -> Iterator[Accepted]:
    """Functions of numpy by name, then those of ``cp.collectives`` and ``cp.ops``."""
    found: dict[str, Callable[..., Any]] = {}
    for function, handler in (*TABLES.functions.items(), *TABLES.ufuncs.items()):
        found[f"np.{getattr(function, '__name__', function)}"] = handler
    for (ufunc, method), handler in TABLES.ufunc_methods.items():
        found[f"np.{ufunc.__name__}.{method}"] = handler
    for module, prefix in ((more, "cp.ops"), (collectives, "cp.collectives")):
        own = {n: f for n, f in vars(module).items() if _is_public(module, n, f)}
        found |= {f"{prefix}.{n}": f for n, f in own.items()}
    found["cp.fori_loop"] = fori_loop
    for name, handler in sorted(found.items(), key=lambda e: (not e[0].startswith("np."), e[0])):
        arguments = ", ".join(n for n in inspect.signature(handler).parameters if n != "subok")
        does = (inspect.getdoc(handler) or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")
        yield Accepted(name=name, arguments=arguments, does=does or "as numpy")


def _is_public(module: ModuleType, name: str, value: object) -> bool:
    own = getattr(value, "__module__", "") == module.__name__
    return inspect.isfunction(value) and own and not name.startswith("_")


def lowered() -> Iterator[Lowered]:
    """Every op of the table."""
    for row in OPS.values():
        made = {d: found for d in DTYPES if (found := _instructions(row, d))}
        yield Lowered(row=row, dtypes=tuple(made), instructions=next(iter(made.values()), ()))


def _sample(row: OpRow) -> Callable[..., Any]:
    if row.name in _SAMPLES:
        return _SAMPLES[row.name]
    if row.family is Family.COLLECTIVE:
        return lambda x: getattr(collectives, row.name)(x, [[0, 1]])
    if row.family is Family.REDUCE:
        return lambda x: getattr(np, row.name)(x, axis=-1)
    return lambda *x: elementwise(row.name, *x)


def sample_graph(row: OpRow, dtype: str) -> Graph | None:
    """A kernel that has only this op, in one type; None for an op of integers in another one.

    Raises:
        NkigenError: the op is not accepted in the type.
    """
    if row.integers and np.dtype(dtype).kind not in "iub":
        return None
    count = row.arity if row.name not in _SAMPLES else 1
    return trace(_sample(row), *[spec((ROWS, COLUMNS), dtype)] * count)


def _instructions(row: OpRow, dtype: str) -> tuple[str, ...]:
    """Candidates for a kernel with the op in one type; none where it is not accepted."""
    try:
        graph = sample_graph(row, dtype)
        if graph is None:
            return ()
        instance = build_instance(refine(canonicalise(graph, matmul_precision="exact")), TRN2)
    except NkigenError:
        return ()
    stored = [c.ops for c in instance.candidates if set(c.ops) <= set(instance.stored)]
    found = [_instruction(c.spec) for c in instance.candidates if c.ops not in stored]
    return tuple(dict.fromkeys(found or ["dma_copy"]))


def _instruction(spec: Spec) -> str:
    if isinstance(spec, Elementwise):
        return spec.cover.instruction
    return "nc_matmul" if isinstance(spec, Contract) else "dma_copy"


def ops_markdown() -> str:
    """The page ``docs/ops.md``."""
    lines = [
        "# What kernels may use",
        "",
        "Made by `nkigen-cp ops --markdown` from the tables of the compiler.",
        "",
        "## Functions",
        "",
        "Methods and operators of arrays are the functions of the same name.",
        "",
        "| function | arguments | what |",
        "| --- | --- | --- |",
        *(f"| `{f.name}` | {f.arguments} | {f.does} |" for f in functions()),
        "",
        "## Ops of the graph",
        "",
        f"Types out of {', '.join(DTYPES)}; the instructions are those that the solver chooses "
        "from in the first of them, for a kernel that has nothing but this op.",
        "",
        "| op | family | what | types | instructions |",
        "| --- | --- | --- | --- | --- |",
        *(_line(entry) for entry in lowered()),
        "",
    ]
    return "\n".join(lines)


def _line(entry: Lowered) -> str:
    row = entry.row
    own = (inspect.getdoc(row.meaning) or "").split("\n", maxsplit=1)[0].replace("``", "`")
    does = row.doc or (f"`numpy.{row.name}`" if hasattr(np, row.name) else own)
    cells = (f"`{row.name}`", row.family.value, does, ", ".join(entry.dtypes),
             ", ".join(entry.instructions))  # fmt: skip
    return f"| {' | '.join(c.replace('|', chr(92) + '|') for c in cells)} |"
