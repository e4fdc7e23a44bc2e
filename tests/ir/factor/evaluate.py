"""A factored program evaluated straight from its accesses, with nothing but numpy indexing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import DimIndex, Immediate, Op

Array = Any
"""A numpy array; numpy's own stubs leave reshapes to several dims untyped."""


def _same(x: Any) -> Any:
    return x


_POINTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "exp": np.exp,
    "tanh": np.tanh,
    "square": np.square,
    "copy": _same,
}
_REDUCED: Mapping[str, Callable[..., Any]] = {"sum": np.sum, "max": np.max}


def factored(fn: Callable[..., Any], *shapes: tuple[int, ...]) -> Program:
    """The factored program of a function of float32 arrays."""
    return refine(canonicalise(cp.trace(fn, *(cp.spec(s, "float32") for s in shapes))))


def evaluate(program: Program, arrays: Sequence[Array]) -> list[Array]:
    """The outputs in the user's shapes, in float64."""
    given: dict[str, Array] = dict(zip(program.inputs, arrays, strict=True))
    given |= {n: np.asarray(a, np.float64) for n, a in program.constants.items()}
    for part, window in program.windows.items():
        shape = program.tensors[part].shape
        ends = zip(window.offsets, shape, strict=True)
        given[part] = given[window.base][tuple(slice(o, o + n) for o, n in ends)]
    held: dict[str, Array] = {n: np.full(s, np.nan) for n, s in _factor_shapes(program).items()}
    for name, array in given.items():
        if name in held:
            held[name][...] = np.reshape(array, held[name].shape)
    for op in program.ops.values():
        if op.kind == "reshape":
            _opaque(program, op, held)
        else:
            _execute(op, held)
    return [held[n].reshape(program.tensors[n].shape) for n in program.outputs]


def _factor_shapes(program: Program) -> dict[str, list[int]]:
    return {n: [f.size for f in t.factors] for n, t in program.tensors.items()}


def _execute(op: FactorOp, held: dict[str, Array]) -> None:
    values = [
        np.float64(i.value) if isinstance(i, Immediate) else _gather(op, i, held) for i in op.inputs
    ]
    reduced = tuple(k for k, d in enumerate(op.digits) if d.reduced)
    if op.kind == "contract":
        result = np.sum(values[0] * values[1], axis=reduced, keepdims=True)
    elif op.kind in _REDUCED:
        result = _REDUCED[op.kind](values[0], axis=reduced, keepdims=True)
    else:
        result = _POINTWISE[op.kind](*values)
    _scatter(op, held, np.asarray(result, np.float64))


def _positions(op: FactorOp, access: Access, sizes: Sequence[int]) -> tuple[Any, ...]:
    """One index array per factor, broadcastable over the op's digits."""
    grid = dict(zip((d.name for d in op.digits), np.ix_(*map(np.arange, sizes)), strict=True))
    return tuple(
        np.asarray(i.offset) if i.digit is None else i.offset + i.step * grid[i.digit]
        for i in access.index
    )


def _gather(op: FactorOp, access: Access, held: Mapping[str, Array]) -> Array:
    sizes = [d.size for d in op.digits]
    found = held[access.tensor][_positions(op, access, sizes)]
    return np.broadcast_to(found, sizes)


def _scatter(op: FactorOp, held: dict[str, Array], result: Array) -> None:
    """Writes every element addressed, each at most once."""
    sizes = [1 if d.reduced else d.size for d in op.digits]
    at = _positions(op, op.output, sizes)
    target = held[op.output.tensor]
    if not op.digits:
        at = tuple(i.offset for i in op.output.index)
    assert np.isnan(target[at]).all(), f"{op.name} overwrites part of {op.output.tensor}"
    target[at] = np.broadcast_to(result, sizes)


def _opaque(program: Program, op: FactorOp, held: dict[str, Array]) -> None:
    """In the user's dims: a window, or a row-major reinterpretation of the whole."""
    source = held[op.accesses[0].tensor].reshape(program.tensors[op.accesses[0].tensor].shape)
    target = program.tensors[op.output.tensor]
    original = program.graph.ops[op.name]
    if original.kind == "reshape":
        held[target.name] = source.reshape([f.size for f in target.factors])
        return
    whole = held[target.name].reshape(target.shape)
    whole[_dims(original, original.outputs[0].index)] = np.broadcast_to(
        source[_dims(original, original.operands[0].index)], [a.size for a in original.axes]
    )
    held[target.name] = whole.reshape([f.size for f in target.factors])


def _dims(op: Op, index: Sequence[DimIndex]) -> tuple[Any, ...]:
    grid = np.ix_(*(np.arange(a.size) for a in op.axes))
    return tuple(
        np.asarray(d.offset) + sum((t.stride * grid[t.axis] for t in d.terms), np.asarray(0))
        for d in index
    )


def agrees(fn: Callable[..., Any], *shapes: tuple[int, ...]) -> bool:
    """Whether the factored program computes what numpy does."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s) for s in shapes]
    want: Any = fn(*arrays)
    wanted: list[Any] = list(want) if isinstance(want, tuple) else [want]  # pyright: ignore[reportUnknownArgumentType]
    got = evaluate(factored(fn, *shapes), arrays)
    return all(
        g.shape == w.shape and np.allclose(g, w, rtol=1e-9, atol=1e-9)
        for g, w in zip(got, wanted, strict=True)
    )
