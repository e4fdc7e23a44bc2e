"""What the instructions for rows compute: scans, the eight largest, places of eight values.

Meanings as in ``meaning``; a row is what one partition has, its free dims flattened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nkigen_cp.ir.nki import alu
from nkigen_cp.ir.nki.numeric import Array, to_float32
from nkigen_cp.ir.tensor.row_rows import ABSENT, find, top

Arguments = Mapping[str, Any]

EIGHT = 8
"""Elements that max8, nc_find_index8 and nc_match_replace8 handle at once."""

ROW_MIN, ROW_MAX = 8, 16384
"""Elements per partition they take: nki/api/nki/isa/__init__.py, max8."""

_SCANS: Mapping[str, np.ufunc] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def _rows(values: Array) -> Array:
    return to_float32(values).reshape(values.shape[0], -1)


def tensor_scalar_cumulative(args: Arguments) -> dict[str, Array]:
    """``dst`` = the running fold by op1 of (src op0 imm0), which the registers keep at the end."""
    values = _rows(args["src"])
    operand = args["imm0"]
    operand = _rows(operand) if isinstance(operand, np.ndarray) else np.float32(operand)
    values = alu.apply(args["op0"], values, operand)
    op, registers = args["op1"], args["registers"]
    if args["reduce_cmd"] == "reset_reduce":
        registers = np.full(values.shape[0], alu.ACCUMULATING[op], np.float32)
    start = registers[: values.shape[0], None]
    running = _SCANS[op].accumulate(np.concatenate([start, values], axis=1), axis=1)
    return {"dst": running[:, 1:], "registers": running[:, -1]}


def top_of_rows(args: Arguments) -> dict[str, Array]:
    """``dst`` = the largest elements of ``data`` in descending order; nan counts as the least."""
    return {"dst": top(_rows(args["data"]), length=args["length"])}


def find_in_rows(args: Arguments) -> dict[str, Array]:
    """``dst`` = where ``data`` has each of ``values``, the n-th of equal ones its n-th time."""
    values = args["value"] if args["values"] is None else _rows(args["values"])
    return {"dst": find(_rows(args["data"]), values, length=args["length"]).astype(np.uint32)}


def max8(args: Arguments) -> dict[str, Array]:
    """``dst``(P, 8) = the eight largest of a row."""
    return top_of_rows({"data": args["src"], "length": EIGHT})


def nc_find_index8(args: Arguments) -> dict[str, Array]:
    """``dst``(P, 8) = where a row has each of ``vals``; a value it does not have gives ABSENT."""
    return find_in_rows({"data": args["data"], "values": args["vals"], "length": EIGHT})


def nc_match_replace8(args: Arguments) -> dict[str, Array]:
    """``dst`` = the row with ``imm`` where it has each of ``vals`` first, as often as they do."""
    rows = _rows(args["data"]).copy()
    places = nc_find_index8(args)["dst"]
    found, column = np.nonzero(places != ABSENT)
    rows[found, places[found, column]] = np.float32(args["imm"])
    return {"dst": rows}
