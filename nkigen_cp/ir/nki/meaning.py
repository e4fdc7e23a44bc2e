"""What each instruction computes, in numpy.

A meaning takes the operands by parameter name and returns the values of its outputs by name.
Views arrive as arrays in their stored dtype and result shape, (P, ...); vectors as (P, 1) arrays or
numbers. Results are float32, or of the stored dtype where bits are kept; the caller rounds once.
Free dims only count as their product, except for ``tensor_reduce``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nkigen_cp.errors import SimulationError
from nkigen_cp.ir.collectives import Exchange
from nkigen_cp.ir.nki import activations, alu
from nkigen_cp.ir.nki.numeric import Array, contract, to_float32

Arguments = Mapping[str, Any]
Meaning = Callable[[Arguments], dict[str, Array]]

_WORDS = (np.dtype(np.int32), np.dtype(np.uint32))


def _flat(values: Array) -> Array:
    return values.reshape(values.shape[0], -1)


def _float32(values: Array) -> Array:
    return _flat(to_float32(values))


def _vector(value: Any) -> Any:
    """A (P, 1) float32 array, or a float32 number; None stands for 0."""
    if isinstance(value, np.ndarray):
        return _float32(value)
    return np.float32(0 if value is None else value)


def _integer(value: Any, like: Array) -> Any:
    """A bit operator's second operand: a (P, 1) integer array, or a number as bits of ``like``."""
    if isinstance(value, np.ndarray):
        return _alike(_flat(value), like)
    bits: Array = np.asarray(int(value or 0) % 2 ** (8 * like.dtype.itemsize))
    return bits.astype(f"u{like.dtype.itemsize}").view(like.dtype)


def _alike(values: Array, like: Array) -> Array:
    """Integers of one width in one dtype, their bits kept."""
    return values.view(like.dtype)


def _step(values: Array, op: str, operand: Any, reverse: Any) -> Array:
    if alu.ALU[op].bits:
        return alu.apply(op, values, _integer(operand, values), reverse=bool(reverse))
    return alu.apply(op, to_float32(values), _vector(operand), reverse=bool(reverse))


def copy(args: Arguments) -> dict[str, Array]:
    """``dst`` = src, bits kept when the dtypes are equal."""
    return {"dst": args["src"]}


def _picked(index: Array, count: int) -> Array:
    """The index as positions of so many.

    Raises:
        SimulationError: one is out of bounds.
    """
    at = index.astype(np.int64)
    outside = at[(at < 0) | (at >= count)]
    if outside.size:
        raise SimulationError(
            f"reads index {outside.flat[0]}, which is out of bounds for {count} positions"
        )
    return at


def gather(args: Arguments) -> dict[str, Array]:
    """``dst`` = src[index]: the positions along src's first dim that the index holds."""
    src: Array = args["src"]
    return {"dst": src[_picked(args["index"], src.shape[0]).ravel()]}


def put(args: Arguments) -> dict[str, Array]:
    """``dst``[index] = src, at the position along dst's first dim that the index holds."""
    written: Array = np.array(args["dst"])
    (at,) = _picked(args["index"], written.shape[0]).ravel()
    written[at] = args["src"].reshape(written.shape[1:])
    return {"dst": written}


def exchanged(function: Exchange) -> Meaning:
    """``dst`` = the function of what the ranks of a group have; floats are reduced in float32."""

    def meaning(args: Arguments) -> dict[str, Array]:
        op, sources = args.get("op") or "", args["sources"]
        if op:
            sources = [to_float32(s) for s in sources]
        return {"dst": function(sources, args["place"], op)}

    return meaning


def n_gather(args: Arguments) -> dict[str, Array]:
    """``dst`` = in every partition the elements of data that ``indices`` holds."""
    data = _flat(args["data"])
    at = _picked(_flat(args["indices"]), data.shape[1])
    return {"dst": np.take_along_axis(data, at, axis=1)}


def _rows(values: Array, per_partition: int) -> Array:
    """So many float32 rows from every partition."""
    return to_float32(values).reshape(values.shape[0] * per_partition, -1)


def matmul(args: Arguments) -> dict[str, Array]:
    """``dst``(Ms, Nm) = stationary(K, Ms).T @ moving(K, Nm), plus dst when accumulating.

    In double-row mode both are (K, 2, columns), and contract 2K rows.
    """
    rows = 2 if args["perf_mode"] == "double_row" else 1
    stationary, moving = (_rows(args[name], rows) for name in ("stationary", "moving"))
    product = contract(stationary, moving)
    if args["dst"] is not None:
        product += _flat(args["dst"])
    return {"dst": product}


def transpose(args: Arguments) -> dict[str, Array]:
    """``dst``(F, P) = data(P, F).T, bits kept."""
    return {"dst": _flat(args["data"]).T}


def memset(args: Arguments) -> dict[str, Array]:
    """``dst`` = value everywhere; the result has shape (1, 1) and spreads."""
    return {"dst": np.asarray([[args["value"]]])}


def tensor_tensor(args: Arguments) -> dict[str, Array]:
    """``dst`` = data1 op data2; exact for 32-bit integers on GpSimd, else in float32."""
    data1, data2, op = _flat(args["data1"]), _flat(args["data2"]), args["op"]
    if alu.ALU[op].bits:
        return {"dst": alu.apply(op, data1, _alike(data2, data1)).view(args["dtype"])}
    words = all(d in _WORDS for d in (data1.dtype, data2.dtype, args["dtype"]))
    if words and args["engine"] == "gpsimd" and op != "power":
        exact: Array = alu.apply(op, data1.astype(np.int64), data2.astype(np.int64))
        return {"dst": exact.astype(args["dtype"])}
    return {"dst": alu.apply(op, to_float32(data1), to_float32(data2))}


def tensor_scalar(args: Arguments) -> dict[str, Array]:
    """``dst`` = (data op0 operand0) op1 operand1; ``reverse`` swaps the sides of an operator."""
    values = _step(_flat(args["data"]), args["op0"], args["operand0"], args["reverse0"])
    if args["op1"] is not None:
        values = _step(values, args["op1"], args["operand1"], args["reverse1"])
    return {"dst": values.view(args["dtype"]) if alu.ALU[args["op0"]].bits else values}


def scalar_tensor_tensor(args: Arguments) -> dict[str, Array]:
    """``dst`` = (data op0 operand0) op1 operand1; operand0 is a vector, operand1 a tile."""
    first = _step(_float32(args["data"]), args["op0"], args["operand0"], args["reverse0"])
    second = _float32(args["operand1"])
    return {"dst": alu.apply(args["op1"], first, second, reverse=bool(args["reverse1"]))}


def tensor_reduce(args: Arguments) -> dict[str, Array]:
    """``dst`` = data folded by op over its last ``num_axes`` dims, negated if asked."""
    data: Array = args["data"]
    row = alu.ALU[args["op"]]
    kept = data.shape[: data.ndim - args["num_axes"]]
    rows = (data if row.bits else to_float32(data)).reshape(*kept, -1)
    assert row.reduce is not None  # the verifier admits reducing operators only
    folded = row.reduce(rows)
    return {"dst": -folded if args["negate"] else folded}


def _scaled(args: Arguments) -> Array:
    values = _float32(args["data"])
    scale = args["scale"]
    if isinstance(scale, np.ndarray) or scale != 1.0:
        values = values * _vector(scale)
    return values if args["bias"] is None else values + _vector(args["bias"])


def activation(args: Arguments) -> dict[str, Array]:
    """``dst`` = op(data * scale + bias).

    ``reduce_cmd`` resets the registers, adds the row sums to them, or both; reduce_res(P, 1) reads
    them.
    """
    values = activations.apply(args["op"], _scaled(args))
    command, registers = args["reduce_cmd"], args["registers"]
    partitions = values.shape[0]
    if command in ("reset", "reset_reduce"):
        registers = np.zeros(partitions, np.float32)
    if command in ("reduce", "reset_reduce"):
        registers = registers[:partitions] + values.sum(axis=1, dtype=np.float32)
    result = None if registers is None else registers[:partitions]
    return {"dst": values, "registers": registers, "reduce_res": result}


def activation_input(args: Arguments) -> Array:
    """What the activation function is applied to: data * scale + bias."""
    return _scaled(args)


def tensor_scalar_reduce(args: Arguments) -> dict[str, Array]:
    """``dst`` = data op0 operand0.

    Its row folds by ``reduce_op`` go to the registers, and from there to reduce_res(P, 1).
    """
    values = _step(_flat(args["data"]), args["op0"], args["operand0"], reverse=False)
    op, registers = args["reduce_op"], args["registers"]
    fold = alu.ALU[op].reduce
    assert fold is not None  # the verifier admits accumulating operators only
    if args["reduce_cmd"] == "reset_reduce":
        registers = np.full(values.shape[0], alu.ACCUMULATING[op], np.float32)
    registers = alu.apply(op, registers[: values.shape[0]], fold(values))
    result = -registers if args["negate"] else registers
    return {"dst": values, "registers": registers, "reduce_res": result}


def reciprocal(args: Arguments) -> dict[str, Array]:
    """``dst`` = 1 / data."""
    return {"dst": np.float32(1) / _float32(args["data"])}


def _spread(values: Array, step: int, count: int) -> Array:
    return (values[:, None] + step * np.arange(count)).ravel()


def _affine_pattern(args: Arguments, partitions: int) -> Array:
    """(P, N) integers: offset + channel_multiplier * partition + the steps of the pattern."""
    values: Array = np.zeros(1, np.int64)
    for step, count in args["pattern"]:
        values = _spread(values, step, count)
    rows = np.arange(partitions) * args["channel_multiplier"] + args["offset"]
    return rows[:, None] + values


def iota(args: Arguments) -> dict[str, Array]:
    """``dst`` = the affine pattern, in int32."""
    return {"dst": _affine_pattern(args, args["partitions"]).astype(np.int32)}


def affine_select(args: Arguments) -> dict[str, Array]:
    """``dst`` = on_true_tile where ``pattern cmp_op 0``, elsewhere on_false_value."""
    data = _flat(args["on_true_tile"])
    chosen = alu.apply(args["cmp_op"], _affine_pattern(args, data.shape[0]), 0) != 0
    if data.dtype.kind in "iub":
        return {"dst": np.where(chosen, data, data.dtype.type(args["on_false_value"]))}
    return {"dst": np.where(chosen, to_float32(data), np.float32(args["on_false_value"]))}


def tensor_copy_predicated(args: Arguments) -> dict[str, Array]:
    """``dst`` = src where the predicate holds (does not, if reversed); elsewhere dst stays."""
    chosen = (_flat(args["predicate"]) != 0) != bool(args["reverse_pred"])
    return {"dst": np.where(chosen, _flat(args["src"]), _flat(args["dst"]))}


def select(args: Arguments) -> dict[str, Array]:
    """``dst`` = on_true where the predicate holds, elsewhere on_false; bits are kept."""
    chosen = _flat(args["predicate"]) != 0
    return {"dst": np.where(chosen, _flat(args["on_true"]), _flat(args["on_false"]))}


def select_reduce(args: Arguments) -> dict[str, Array]:
    """``dst`` = on_true where the predicate holds (does not, if reversed), elsewhere on_false."""
    chosen = (_flat(args["predicate"]) != 0) != bool(args["reverse_pred"])
    return {"dst": np.where(chosen, _float32(args["on_true"]), _vector(args["on_false"]))}


def bn_stats(args: Arguments) -> dict[str, Array]:
    """``dst``(P, 6) = (count, mean, variance * count) of the even, then of the odd elements."""
    data = _float32(args["data"]).astype(np.float64)
    columns: list[Array] = []
    for half in (data[:, 0::2], data[:, 1::2]):
        count = half.shape[1]
        mean = half.sum(axis=1) / max(count, 1)
        spread = np.square(half - mean[:, None]).sum(axis=1)
        columns += [np.full_like(mean, count), mean, spread]
    return {"dst": np.stack(columns, axis=1).astype(np.float32)}


def bn_aggr(args: Arguments) -> dict[str, Array]:
    """``dst``(P, 2) = (mean, variance) over all triples that ``bn_stats`` made of a row."""
    data = _float32(args["data"]).astype(np.float64)
    count, mean, spread = np.moveaxis(data.reshape(data.shape[0], -1, 3), 2, 0)
    total = count.sum(axis=1)
    center = (count * mean).sum(axis=1) / total
    moment = spread + count * np.square(mean - center[:, None])
    variance = moment.sum(axis=1) / total
    return {"dst": np.stack([center, variance], axis=1).astype(np.float32)}
