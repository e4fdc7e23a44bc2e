"""An instruction computes exactly the ops it covers: both are evaluated on numbers and compared.

At the first, second and last position of every digit each operand element gets a value of its own;
affine accesses that agree there agree everywhere. Loops stand still, once at their start, once each
at its second iteration and once all at their end. One side is the instruction with its parameters,
read through its slots; the other the covered ops, read through the program, in float64.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp
from nkigen_cp.ir.nki.activations import ACTIVATIONS
from nkigen_cp.ir.nki.alu import ACCUMULATING, ALU
from nkigen_cp.ir.tensor.graph import Immediate
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.check import rows
from nkigen_cp.solver.check.facts import Covered, Facts, covers
from nkigen_cp.solver.plan import Value

Array = Any
RANGES = ((0.5, 1.5), (-1.0, 1.0))
"""Values are drawn from a positive range, where every function is defined, and a signed one."""

WORDS = ((0, 32), (-(2**31), 2**31))
"""For ops of integers only: one range in which all numbers are sensible shifts, and all words."""

GOLDEN = (math.sqrt(5) - 1) / 2


class _UnequalError(Exception):
    """Why the two sides cannot even be compared."""


def covers_equal_ops(facts: Facts) -> Iterator[str]:
    """Every cover's instruction and its ops give the same values."""
    for covered in covers(facts):
        try:
            words = any(OPS[facts.program.ops[n].kind].integers for n in covered.computed)
            checks = (
                _Check(facts, covered, values, at, words)
                for values in (WORDS if words else RANGES)
                for at in _iterations(facts, covered.step.path)
            )
            problem = next((p for check in checks if (p := check.problem())), None)
        except _UnequalError as error:
            problem = str(error)
        if problem:
            yield f"step {covered.step.name!r}: {covered.cover.instruction} {problem}"


def _iterations(facts: Facts, path: Sequence[str]) -> list[dict[str, int]]:
    """Where the loops are: at the start, one of them one further, all at the end."""
    start = dict.fromkeys(path, 0)
    last = {name: facts.loops[name].trips - 1 for name in path}
    return [
        start,
        *({**start, n: 1} for n in path if last[n]),
        *([last] if any(last.values()) else []),
    ]


@dataclass(slots=True)
class _Check:
    facts: Facts
    covered: Covered
    range: tuple[float, float]
    loops: Mapping[str, int]
    words: bool
    made: dict[str, FactorOp] = field(default_factory=dict[str, FactorOp])
    used: list[str] = field(default_factory=list[str])

    def problem(self) -> str | None:
        """What differs, or None."""
        cover, domain = self.covered.cover, self.covered.domain
        for name in self.covered.computed:
            op = self.facts.program.ops[name]
            if op.output.tensor in self.made:
                return f"covers two producers of {op.output.tensor!r}"
            self.made[op.output.tensor] = op
        digits = [d for d in domain.digits if self.covered.psum is None or not d.reduced]
        at = {d.name: _along(_sample(d.size), k, len(digits)) for k, d in enumerate(digits)}
        axes = tuple(k for k, d in enumerate(digits) if d.name in cover.reduced)
        shape = np.broadcast_shapes((), *(a.shape for a in at.values()))
        tiles = {s.name: np.broadcast_to(self.leaf(s.access, at), shape) for s in cover.reads}
        if cover.made:
            got = self._rows(tiles, at)
        elif cover.instruction in _SEMANTICS:
            numbers = {k: self.number(v) for k, v in cover.params.items()}
            with np.errstate(all="ignore"):
                got = _SEMANTICS[cover.instruction]({**numbers, **tiles}, axes)
        else:
            return "computes no op of a program"
        for slot in cover.writes:
            self._complete(slot.access)
            want = self.value(slot.access.tensor, self.positions(slot.access, at))
            with np.errstate(all="ignore"):
                if slot.name not in got or not _same(got[slot.name], want):
                    return (
                        f"writes to {slot.access.tensor!r} what its ops {cover.ops} do not compute"
                    )
        if not cover.writes:
            return "writes nothing"
        idle = [o for o in self.covered.computed if o not in self.used]
        return f"does not compute op {idle[0]!r}" if idle else None

    def _rows(self, tiles: Mapping[str, Array], at: Mapping[str, Array]) -> Results:
        """What an instruction makes of whole rows."""
        domain, cover = self.covered.domain, self.covered.cover
        whole = rows.whole_digits(domain)
        names = [d.name for d in domain.digits]
        found = rows.by_instruction(
            cover,
            {**cover.params, **tiles},
            [names.index(d) for d in whole],
            [_sample(domain.size(d)) for d in whole],
            [at[d] for d in cover.made],
        )
        return {} if found is None else {"dst": found}

    def _complete(self, access: Access) -> None:
        """A written slot addresses every element its op writes."""
        op = self.made.get(access.tensor)
        domain = self.covered.domain
        wanted = op.output if op is not None else domain.output
        owner = op if op is not None else domain
        got = math.prod(domain.size(d) for d in dict.fromkeys(access.digits))
        if got != math.prod(owner.size(d) for d in dict.fromkeys(wanted.digits)):
            raise _UnequalError(f"writes only part of {access.tensor!r}")

    def leaf(self, access: Access, at: Mapping[str, Array]) -> Array:
        """The operand's elements at the positions."""
        return self.element(access.tensor, self.positions(access, at))

    def positions(self, access: Access, at: Mapping[str, Array]) -> list[Array]:
        """Where along every factor the access is."""
        return [
            i.offset + i.step * at[i.digit]
            if i.digit is not None
            else np.asarray(self.still(i), np.float64)
            for i in access.index
        ]

    def still(self, index: FactorIndex) -> int:
        """The position along a factor that no digit moves."""
        return index.offset + (0 if index.loop is None else index.step * self.loops[index.loop])

    def element(self, tensor: str, places: list[Array]) -> Array:
        """A value of its own for every element of a tensor."""
        factors = self.facts.tensor(tensor).factors
        flat: Array = np.zeros((), np.float64)
        for factor, place in zip(factors, places, strict=True):
            if np.any(place < 0) or np.any(place >= factor.size):
                raise _UnequalError(f"leaves factor {factor.name} of {tensor!r}")
            flat = flat * factor.size + place
        phase = zlib.crc32(tensor.encode()) / 2**32
        low, high = self.range
        values: Array = low + (high - low) * np.mod(flat * GOLDEN + phase, 1.0)
        return values.astype(np.int32) if self.words else values

    def number(self, value: Value) -> Any:
        """A parameter as the instruction takes it: integers as words of 32 bits."""
        whole = self.words and isinstance(value, int) and not isinstance(value, bool)
        return np.asarray(value).astype(np.int32) if whole else value

    def value(self, tensor: str, places: list[Array]) -> Array:
        """What the covered ops compute at positions of a tensor."""
        op = self.made.get(tensor)
        if op is None:
            return self.element(tensor, places)
        self.used.append(op.name)
        at: dict[str, Array] = {}
        for index, place in zip(op.output.index, places, strict=True):
            steps, rest = place - self.still(index), 0
            if index.digit is not None:
                steps, rest = np.divmod(place - index.offset, index.step)
            size = op.size(index.digit) if index.digit is not None else 1
            if np.any(rest) or np.any(steps < 0) or np.any(steps >= size):
                raise _UnequalError(f"writes elements of {tensor!r} that op {op.name!r} does not")
            if index.digit is not None:
                at[index.digit] = steps
        return self._apply(op, at)

    def _apply(self, op: FactorOp, at: dict[str, Array]) -> Array:
        row = OPS[op.kind]
        by_rows = row.family is Family.ROW
        reduced = [d for d in op.digits if (d.whole if by_rows else d.reduced)]
        n = len(reduced)
        wide = {d: a[(..., *(None,) * n)] for d, a in at.items()}
        wide |= {d.name: _along(_sample(d.size), k, n) for k, d in enumerate(reduced)}
        missing = [d.name for d in op.digits if d.name not in wide]
        if missing:
            raise _UnequalError(f"leaves digit {missing[0]} of op {op.name!r} open")
        values = [
            np.asarray(i.value).astype(np.int32 if self.words else np.float64)
            if isinstance(i, Immediate)
            else self.value(i.tensor, self.positions(i, wide))
            for i in op.inputs
        ]
        if by_rows:
            inside = [wide[d.name] for d in reduced]
            made = [at[d.name][(..., *(None,) * n)] for d in reduced if not d.reduced]
            return rows.applied(rows.function_of(op), values, inside, made)
        if row.family not in (Family.ELEMENTWISE, Family.COPY, Family.REDUCE):
            raise _UnequalError(f"cannot compute op {op.name!r}, a {op.kind}")
        with np.errstate(all="ignore"):
            if not n:
                return row.meaning(*values)
            shape = np.broadcast_shapes(values[0].shape, *(w.shape for w in wide.values()))
            return row.meaning(np.broadcast_to(values[0], shape), axis=tuple(range(-n, 0)))


def _sample(size: int) -> Array:
    return np.asarray(sorted({0, min(1, size - 1), size - 1}), np.float64)


def _along(values: Array, axis: int, ndim: int) -> Array:
    return values.reshape([-1 if k == axis else 1 for k in range(ndim)])


def _same(a: Array, b: Array) -> bool:
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    return bool(np.allclose(a, b, rtol=1e-11, atol=0, equal_nan=True))


Arguments = Mapping[str, Array | Value]
Results = dict[str, Array]


def _step(args: Arguments, values: Array, k: int) -> Array:
    """``values op operand``, sides swapped if reversed; nothing where there is no operator."""
    op, operand = args.get(f"op{k}"), args.get(f"operand{k}")
    if op is None:
        return values
    if not isinstance(op, str) or operand is None or op not in ALU:
        raise _UnequalError(f"has operator {op!r} with operand {operand!r}")
    pair = (operand, values) if args.get(f"reverse{k}") else (values, operand)
    return ALU[op].meaning(*pair)


def _two_steps(args: Arguments, axes: tuple[int, ...]) -> Results:
    del axes
    return {"dst": _step(args, _step(args, args["data"], 0), 1)}


def _tensor_tensor(args: Arguments, axes: tuple[int, ...]) -> Results:
    del axes
    return {"dst": ALU[str(args["op"])].meaning(args["data1"], args["data2"])}


def _activation(args: Arguments, axes: tuple[int, ...]) -> Results:
    values = args["data"] * np.asarray(args.get("scale", 1.0)) + np.asarray(args.get("bias", 0.0))
    values = ACTIVATIONS[str(args["op"])].meaning(values)
    command = (args.get("reduce_op"), args.get("reduce_cmd", "idle"))
    if command == (None, "idle"):
        return {"dst": values}
    if command != ("add", "reset_reduce"):
        raise _UnequalError(f"accumulates by {command}")
    return {"dst": values, "reduce_res": values.sum(axis=axes, keepdims=True)}


def _copy(args: Arguments, axes: tuple[int, ...]) -> Results:
    del axes
    return {"dst": args["src"]}


def _select(args: Arguments, axes: tuple[int, ...]) -> Results:
    del axes
    chosen = (np.asarray(args["predicate"]) != 0) != bool(args.get("reverse_pred"))
    return {"dst": np.where(chosen, args["on_true"], args["on_false"])}


def _reciprocal(args: Arguments, axes: tuple[int, ...]) -> Results:
    del axes
    return {"dst": 1 / np.asarray(args["data"])}


def _reduce(args: Arguments, axes: tuple[int, ...]) -> Results:
    return {"dst": _folded(args["data"], str(args["op"]), axes)}


def _scalar_reduce(args: Arguments, axes: tuple[int, ...]) -> Results:
    values, operator = _step(args, args["data"], 0), str(args["reduce_op"])
    if operator not in ACCUMULATING or args.get("reduce_cmd", "reset_reduce") != "reset_reduce":
        raise _UnequalError(f"accumulates by {operator} and {args.get('reduce_cmd')}")
    result = _folded(values, operator, axes)
    return {"dst": values, "reduce_res": -result if args.get("negate") else result}


def _folded(data: Array, operator: str, axes: tuple[int, ...]) -> Array:
    """The data folded along some axes, which stay with one position each."""
    fold = ALU[operator].reduce if operator in ALU else None
    if fold is None or not axes:
        raise _UnequalError(f"reduces {len(axes)} digits by {operator}")
    last: Array = np.moveaxis(data, axes, range(-len(axes), 0))
    kept = last.shape[: data.ndim - len(axes)]
    return np.expand_dims(fold(last.reshape(*kept, -1)), axes)


_SEMANTICS: Mapping[str, Callable[[Arguments, tuple[int, ...]], Results]] = {
    "tensor_tensor": _tensor_tensor,
    "tensor_scalar": _two_steps,
    "scalar_tensor_tensor": _two_steps,
    "activation": _activation,
    "reciprocal": _reciprocal,
    "select": _select,
    "select_reduce": _select,
    "tensor_copy": _copy,
    "tensor_reduce": _reduce,
    "tensor_scalar_reduce": _scalar_reduce,
}
