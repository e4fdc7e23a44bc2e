"""Frozen values <-> JSON, driven by the type hints of the dataclasses; nothing read is executed.

A field whose type is a union of dataclasses is written with the class name under ``"is"``.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import types
import typing
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.dtypes import DType, dtype


def dumps(value: Any) -> str:
    """Canonical JSON text of a dataclass: sorted keys, one byte sequence per value."""
    return json.dumps(encode(value), sort_keys=True, indent=1, allow_nan=False) + "\n"


def encode(value: Any) -> Any:
    """Plain JSON data of a value; dataclasses carry their class name."""
    if isinstance(value, DType):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init
        }
        return {"is": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, tuple):
        return [encode(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, np.ndarray):
        return encode_array(value)  # pyright: ignore[reportUnknownArgumentType]
    return {"float": repr(value)} if _is_infinite(value) else value


def _is_infinite(value: Any) -> bool:
    """Whether a value is an infinity or no number, for which JSON has no word."""
    return isinstance(value, float) and not math.isfinite(value)


def _infinite(data: Any) -> float | None:
    """The infinite number that JSON data stands for."""
    entries = typing.cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    return float(entries["float"]) if list(entries) == ["float"] else None


def encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Shape, dtype and compressed bytes of an array."""
    packed = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
    return {
        "shape": list(array.shape),
        "dtype": dtype(array.dtype).name,
        "zlib": base64.b64encode(packed).decode("ascii"),
    }


def decode_array(data: Mapping[str, Any]) -> Any:
    """The array that ``encode_array`` wrote."""
    kind = dtype(data["dtype"]).numpy
    raw = zlib.decompress(base64.b64decode(data["zlib"], validate=True))
    array: Any = np.frombuffer(raw, kind)
    return array.reshape(data["shape"]).copy()


def decode(hint: Any, data: Any, where: str) -> Any:  # noqa: PLR0911 - one return per shape of type
    """A value of type ``hint`` from JSON data.

    Raises:
        PlanError: the data does not have the shape the type asks for; names the place.
    """
    number = _infinite(data)
    if number is not None:
        _expect(float in (hint, *typing.get_args(hint)), where, "no infinity", data)
        return number
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(hint), data, where)
    if hint is DType:
        return dtype(data)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _decode_class(hint, data, where)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        _expect(isinstance(data, list), where, "a list", data)
        return tuple(decode(item, v, f"{where}[{k}]") for k, v in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        _expect(isinstance(data, dict), where, "an object", data)
        item = typing.get_args(hint)[1]
        return {k: decode(item, v, f"{where}.{k}") for k, v in data.items()}
    if origin is np.ndarray:
        _expect(isinstance(data, dict), where, "an array", data)
        return decode_array(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    kind = hint if isinstance(hint, type) else object
    exact = not isinstance(data, bool) or kind in (bool, object)
    _expect(isinstance(data, kind) and exact, where, kind.__name__, data)
    return data


def _expect(ok: bool, where: str, wanted: str, data: Any) -> None:
    if not ok:
        raise PlanError(f"{where}: expected {wanted}, found {type(data).__name__}")


def _decode_union(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    """The member of a union that the data is: tagged classes first, then plain types."""
    if data is None and type(None) in choices:
        return None
    tag = data.get("is") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    for choice in choices:
        if isinstance(choice, type) and choice.__name__ == tag:
            return _decode_class(choice, data, where)
    for choice in choices:
        if isinstance(choice, type) and not dataclasses.is_dataclass(choice):
            if type(data) is choice:  # pyright: ignore[reportUnknownArgumentType]
                return typing.cast("Any", data)
        elif typing.get_origin(choice) is tuple and isinstance(data, list):
            return decode(choice, data, where)
    names = ", ".join(getattr(c, "__name__", str(c)) for c in choices)
    raise PlanError(f"{where}: expected one of {names}")


def _decode_class(cls: Any, data: Any, where: str) -> Any:
    _expect(isinstance(data, dict), where, cls.__name__, data)
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    unknown = sorted(set(data) - fields - {"is"})
    missing = sorted(fields - set(data))
    if unknown or missing or data.get("is", cls.__name__) != cls.__name__:
        what = f"unknown key {unknown[0]!r}" if unknown else f"missing key {missing[:1]!r}"
        raise PlanError(f"{where}: {what} for a {cls.__name__}")
    return cls(**{k: decode(hints[k], v, f"{where}.{k}") for k, v in data.items() if k != "is"})
