"""The value a traced function computes with: an array to numpy, and a record of what is done."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nkigen_cp.errors import TraceError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.ir.dtypes import DType

if TYPE_CHECKING:
    from nkigen_cp.frontend.builder import Builder
    from nkigen_cp.frontend.memory import Memory, Origin
    from nkigen_cp.ir.tensor.graph import Array

Method = Callable[..., Any]


def _operator(ufunc: np.ufunc) -> Method:
    def apply(self: TracedTensor, other: object) -> Any:
        return cast("Any", ufunc)(self, other)

    return apply


def _reflected(ufunc: np.ufunc) -> Method:
    def apply(self: TracedTensor, other: object) -> Any:
        return cast("Any", ufunc)(other, self)

    return apply


def _unary(ufunc: np.ufunc) -> Method:
    def apply(self: TracedTensor) -> Any:
        return cast("Any", ufunc)(self)

    return apply


def _method(function: Method) -> Method:
    """The numpy function of the same meaning, with the tensor as its first argument."""

    def apply(self: TracedTensor, *args: Any, **kwargs: Any) -> Any:
        return self.builder.call(function, (self, *args), kwargs)

    return apply


def _shape_method(function: Method) -> Method:
    """As ``_method``; the numbers may be given one by one: ``x.reshape(2, 3)``."""

    def apply(self: TracedTensor, *args: Any, **kwargs: Any) -> Any:
        packed = (args,) if len(args) > 1 else args
        return self.builder.call(function, (self, *packed), kwargs)

    return apply


def _in_place(ufunc: np.ufunc) -> Method:
    def apply(self: TracedTensor, other: object) -> Any:
        return self.builder.in_place(ufunc, self, other)

    return apply


def _needs_value(what: str, known: Method) -> Method:
    """``known`` of the array's values, which a traced array does not have."""

    def apply(self: TracedTensor, *args: Any, **kwargs: Any) -> Any:
        if self.is_known:
            return known(self.builder.values(self), *args, **kwargs)
        raise located(
            TraceError,
            f"{what} of a traced tensor needs its value, which is not known while tracing; "
            "use numpy functions on the tensor (for an index of a captured array, numpy.take, or "
            "cp.ops.constant of the array), or pass the value as a static argument",
        )

    return apply


def _item(values: Array, *args: Any) -> Any:
    return values.item(*args)


def _listed(values: Array) -> Any:
    return values.tolist()


class TracedTensor:
    """An array of the program being traced: its own, or a view of the memory of another one.

    ``held`` is the number of the tensor that it was when last looked at, -1 for none; ``literal``
    are its values where they are known while tracing. ``origin`` is what it is a view of.
    """

    __slots__ = (
        "axes",
        "builder",
        "element",
        "held",
        "literal",
        "memory",
        "origin",
        "shape",
        "version",
    )

    def __init__(  # noqa: PLR0913
        self,
        *,
        builder: Builder,
        shape: tuple[int, ...],
        element: DType,
        axes: tuple[str, ...],
        memory: Memory,
        held: int = -1,
        literal: Array | None = None,
    ) -> None:
        self.builder = builder
        self.shape = shape
        self.element = element
        self.axes = axes
        self.memory = memory
        self.held = held
        self.literal = literal
        self.version = memory.version
        self.origin: Origin | None = None

    @property
    def ident(self) -> int:
        """The number of the tensor that the array is now."""
        return self.builder.current(self)

    @property
    def is_known(self) -> bool:
        """Whether its values are known while tracing."""
        return self.memory.known

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.element.numpy

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def T(self) -> Any:  # noqa: N802 (numpy's name)
        return self.transpose()

    @property
    def mT(self) -> Any:  # noqa: N802 (numpy's name)
        return self.swapaxes(-1, -2)

    @property
    def flat(self) -> Any:
        """All elements in row-major order; written to through subscripts of the array itself."""
        return self.ravel()

    @property
    def real(self) -> Any:
        return self

    @property
    def itemsize(self) -> int:
        return self.element.size_bytes

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def sort(self, axis: int = -1, kind: object = None) -> None:
        """Bring the elements along an axis in ascending order, in place."""
        del kind
        self[...] = cast("Any", np).sort(self, axis=axis)

    def __len__(self) -> int:
        if not self.shape:
            raise located(TraceError, "len() of a tensor of shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"TracedTensor(shape={self.shape}, dtype={self.element.name})"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.builder.call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self,
        func: Method,
        types: Sequence[type],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        del types
        return self.builder.call(func, tuple(args), dict(kwargs))

    def __setitem__(self, key: object, value: object) -> None:
        self.builder.call(operator.setitem, (self, key, value), {})

    def fill(self, value: object) -> None:
        """Write one value everywhere."""
        self[...] = value

    __hash__ = object.__hash__
    __getitem__ = _method(operator.getitem)

    __add__, __radd__ = _operator(np.add), _reflected(np.add)
    __sub__, __rsub__ = _operator(np.subtract), _reflected(np.subtract)
    __mul__, __rmul__ = _operator(np.multiply), _reflected(np.multiply)
    __truediv__, __rtruediv__ = _operator(np.divide), _reflected(np.divide)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide), _reflected(np.floor_divide)
    __mod__, __rmod__ = _operator(np.remainder), _reflected(np.remainder)
    __divmod__, __rdivmod__ = _operator(np.divmod), _reflected(np.divmod)
    __pow__, __rpow__ = _operator(np.power), _reflected(np.power)
    __matmul__, __rmatmul__ = _operator(np.matmul), _reflected(np.matmul)
    __and__, __rand__ = _operator(np.bitwise_and), _reflected(np.bitwise_and)
    __or__, __ror__ = _operator(np.bitwise_or), _reflected(np.bitwise_or)
    __xor__, __rxor__ = _operator(np.bitwise_xor), _reflected(np.bitwise_xor)
    __lshift__, __rlshift__ = _operator(np.left_shift), _reflected(np.left_shift)
    __rshift__, __rrshift__ = _operator(np.right_shift), _reflected(np.right_shift)
    __eq__, __ne__ = _operator(np.equal), _operator(np.not_equal)
    __lt__, __le__ = _operator(np.less), _operator(np.less_equal)
    __gt__, __ge__ = _operator(np.greater), _operator(np.greater_equal)
    __neg__, __pos__ = _unary(np.negative), _unary(np.positive)
    __abs__, __invert__ = _unary(np.absolute), _unary(np.invert)

    __iadd__, __isub__, __imul__ = _in_place(np.add), _in_place(np.subtract), _in_place(np.multiply)
    __itruediv__, __ifloordiv__ = _in_place(np.divide), _in_place(np.floor_divide)
    __imod__, __ipow__ = _in_place(np.remainder), _in_place(np.power)
    __imatmul__ = _in_place(np.matmul)
    __iand__, __ior__, __ixor__ = (
        _in_place(np.bitwise_and),
        _in_place(np.bitwise_or),
        _in_place(np.bitwise_xor),
    )
    __ilshift__, __irshift__ = _in_place(np.left_shift), _in_place(np.right_shift)

    __bool__ = _needs_value("the truth value (if, and, or)", bool)
    __float__, __int__ = _needs_value("float()", float), _needs_value("int()", int)
    __index__ = _needs_value("use as an index", operator.index)
    __array__ = _needs_value("conversion to a numpy array", np.array)
    item, tolist = _needs_value("item()", _item), _needs_value("tolist()", _listed)

    astype, copy = _method(np.ndarray.astype), _method(np.copy)
    reshape, transpose = _shape_method(np.reshape), _shape_method(np.transpose)
    ravel, flatten = _method(np.ravel), _method(np.ndarray.flatten)
    swapaxes, squeeze, repeat = _method(np.swapaxes), _method(np.squeeze), _method(np.repeat)
    sum, mean, max, min = _method(np.sum), _method(np.mean), _method(np.max), _method(np.min)
    argmax, argmin = _method(np.argmax), _method(np.argmin)
    argsort = _method(np.argsort)
    dot, cumsum, cumprod = _method(np.dot), _method(np.cumsum), _method(np.cumprod)
    var, std, prod = _method(np.var), _method(np.std), _method(np.prod)
    any, all, trace = _method(np.any), _method(np.all), _method(np.trace)
    diagonal, round, take = _method(np.diagonal), _method(np.round), _method(np.take)
    clip, put = _method(cast("Any", np).clip), _method(np.put)
    conj, conjugate = _unary(np.conjugate), _unary(np.conjugate)
