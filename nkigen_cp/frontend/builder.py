"""Records ops while the user's function runs, and makes the graph of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import TraceError, UnsupportedError
from nkigen_cp.frontend.axes import iteration_names, result_names
from nkigen_cp.frontend.callsite import located, source_of, user_frames
from nkigen_cp.frontend.dispatch import Tables
from nkigen_cp.frontend.known import Callee, call_settled, store, values_of
from nkigen_cp.frontend.memory import Memory, current, duplicate_of
from nkigen_cp.frontend.naming import Namer, variable_of
from nkigen_cp.frontend.step import Index, Read, Step
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.tensor.graph import Array, Attr, Axis, Source
from nkigen_cp.ir.tensor.promotion import narrow

__all__ = ["Builder", "Index", "Piece", "Read", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A recorded op, its operands by tensor number; ``float | int`` inputs are immediates."""

    kind: str
    axes: tuple[Axis, ...]
    inputs: tuple[tuple[int, Index] | float | int, ...]
    output: tuple[int, Index]
    attrs: Mapping[str, Attr]
    source: Source | None


@dataclass(slots=True, kw_only=True)
class Builder:
    """One trace: the tensors by number, the ops in order, and the tables of what is supported."""

    tables: Tables
    namer: Namer = field(default_factory=Namer)
    tensors: list[TracedTensor] = field(default_factory=list[TracedTensor])
    kinds: dict[int, str] = field(default_factory=dict[int, str])
    pieces: list[Piece] = field(default_factory=list[Piece])
    constants: dict[int, Array] = field(default_factory=dict[int, Array])
    captured: dict[int, tuple[Array, int]] = field(default_factory=dict[int, tuple[Array, int]])
    wide: list[int] = field(default_factory=list[int])
    warned: bool = False
    closed: bool = False
    reading: bool = True  # views are read where they are made, unless they are written to

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the handler of a numpy function."""
        return call_settled(self, Callee(function=function, handle=self.tables.call), args, kwargs)

    def call_ufunc(
        self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the handler of a ufunc, or of one of its methods (``np.add.reduce``).

        Where a mask ``where`` does not hold, ``out`` keeps what it has.
        """
        if method == "__call__" and kwargs.get("where", True) is not True:
            return self._masked(ufunc, inputs, kwargs)

        def handle(_: object, args: tuple[Any, ...], others: dict[str, Any]) -> Any:
            return self.tables.call_ufunc(ufunc, method, args, others)

        return call_settled(
            self, Callee(function=getattr(ufunc, method), handle=handle), inputs, kwargs
        )

    def _masked(self, ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        others = {k: v for k, v in kwargs.items() if k not in ("where", "out")}
        result = cast("Any", ufunc)(*inputs, **others)
        out = cast("Any", kwargs.get("out"))
        if out is None:
            return result  # the other elements may be anything
        target = cast("Any", out[0] if isinstance(out, tuple) else out)
        chosen = cast("Any", np).where(kwargs["where"], result, target)
        return store(self, chosen, target, str(cast("Any", ufunc).__name__))

    def current(self, array: TracedTensor) -> int:
        """The number of the tensor that an array is now."""
        return current(array)

    def values(self, array: TracedTensor) -> Array:
        """The values of a known array."""
        return values_of(array)

    def in_place(self, ufunc: np.ufunc, target: TracedTensor, other: object) -> Any:
        """``target += other``: written where it is a view; a name of its own is bound anew."""
        result = cast("Any", ufunc)(target, other)
        if target.origin is not None:
            return store(self, result, target, str(cast("Any", ufunc).__name__))
        keeps = isinstance(result, TracedTensor) and result.element.kind == target.element.kind
        return result.astype(target.dtype) if keeps else result

    def narrowed(self, dtype: object) -> DType:
        """The dtype's row; the first 64-bit dtype of the trace warns.

        Raises:
            UnsupportedError: the dtype has no row.
        """
        try:
            row, replaced = narrow(dtype)  # pyright: ignore[reportArgumentType]
        except UnsupportedError as error:
            raise located(UnsupportedError, str(error)) from None
        if replaced:
            self.warn_narrowed(row)
        return row

    def warn_narrowed(self, row: DType) -> None:
        """Warn, once per trace, that a 64-bit dtype became ``row``."""
        if not self.warned:
            self.warned = True
            message = f"64-bit types do not exist on the device; using {row.name}"
            warnings.warn(message, stacklevel=2)

    def tensor(self, shape: tuple[int, ...], element: DType, axes: tuple[str, ...]) -> TracedTensor:
        """A new tensor that nothing writes yet."""
        tensor = TracedTensor(
            builder=self, shape=shape, element=element, axes=axes, memory=Memory()
        )
        tensor.held = len(self.tensors)
        self.tensors.append(tensor)
        return tensor

    def constant(self, array: Array) -> TracedTensor:
        """The tensor of a captured numpy array; 64-bit types narrow silently."""
        known = self.captured.get(id(array))
        if known and self.constants[known[1]].tobytes() == _narrow_array(array).tobytes():
            return duplicate_of(self.tensors[known[1]])
        values = _narrow_array(array)
        row = narrow(values.dtype)[0]
        tensor = self.tensor(values.shape, row, tuple(f"d{i}" for i in range(values.ndim)))
        self.constants[tensor.ident] = values
        self.captured[id(array)] = (array, tensor.ident)  # holding the array keeps its id unique
        self.kinds[tensor.ident] = "const"
        variable = variable_of(array, user_frames())
        if variable:
            self.namer.wished[tensor.ident] = variable
        return tensor

    def known(self, values: Array, filled: Array | None = None) -> Any:
        """An array of values known while tracing; values of types we lack are left as they are."""
        try:
            row = narrow(values.dtype)[0]
        except UnsupportedError:
            return values
        axes = tuple(f"d{i}" for i in range(values.ndim))
        memory = Memory(known=True, filled=filled)
        return TracedTensor(
            builder=self, shape=values.shape, element=row, axes=axes, memory=memory, literal=values
        )

    def emit(self, step: Step, shape: tuple[int, ...], element: DType) -> TracedTensor:
        """Record an op that makes a whole new tensor of this shape and dtype."""
        placed = [(r.tensor, r.index) for r in step.reads]
        result = self.tensor(shape, element, result_names(shape, step.index, step.sizes, placed))
        self.write(step, result)
        return result

    def write(self, step: Step, result: TracedTensor) -> None:
        """Record an op that writes a window of ``result``."""
        self.check_own([r.tensor for r in step.reads])
        for read in step.reads:
            current(read.tensor)  # what a view shows is recorded before what reads it
        frames = user_frames()
        if result.ident not in self.kinds:
            self.namer.observe(frames)
            self.namer.recorded(result.ident, frames)
            self.kinds[result.ident] = step.kind
        placed = [(r.tensor, r.index) for r in step.reads]
        names = iteration_names(step.sizes, step.index, result, placed, step.reduced)
        piece = Piece(
            kind=step.kind,
            axes=tuple(
                Axis(name=name, size=size, reduced=i in step.reduced, whole=i in step.whole)
                for i, (name, size) in enumerate(zip(names, step.sizes, strict=True))
            ),
            inputs=tuple(
                (i.tensor.ident, i.index) if isinstance(i, Read) else i for i in step.inputs
            ),
            output=(result.ident, step.index),
            attrs=step.attrs,
            source=source_of(frames),
        )
        self.pieces.append(piece)

    def check_own(self, tensors: Sequence[TracedTensor]) -> None:
        """Refuse tensors of another trace, and any tensor after the trace.

        Raises:
            TraceError: a tensor is used outside its trace.
        """
        if self.closed or any(t.builder is not self for t in tensors):
            raise located(
                TraceError,
                "a traced tensor was used outside the trace it belongs to; do not keep tensors in "
                "globals or closures between traces",
            )


def _narrow_array(array: Array) -> Array:
    row = narrow(array.dtype)[0]
    if row.kind in ("int", "uint") and array.size:
        limits = np.iinfo(row.name)
        if int(np.min(array)) < limits.min or int(np.max(array)) > limits.max:
            raise located(
                UnsupportedError,
                f"a captured {array.dtype} array holds values outside {row.name}'s range, and the "
                "device has no 64-bit types",
            )
    return np.array(array, dtype=row.numpy)
