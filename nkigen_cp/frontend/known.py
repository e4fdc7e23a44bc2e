"""Arrays whose values are known while tracing, until something traced is written into them.

Numpy itself computes what depends on known arrays alone. Beside traced ones they are constants.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.regroup import strides_of
from nkigen_cp.frontend.structure import flatten, unflatten
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array

if TYPE_CHECKING:
    from nkigen_cp.frontend.builder import Builder


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A numpy function, and what runs it on traced arrays."""

    function: Any
    handle: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


def values_of(array: TracedTensor) -> Array:
    """A known array's values, as a numpy view of its memory."""
    if array.literal is not None:
        return array.literal
    assert array.origin is not None
    above, step = values_of(array.origin.array), array.origin.step
    if step is None:
        return above
    if array.size == 0:
        return np.empty(array.shape, above.dtype)
    corner = above[(*(slice(i.offset, None) for i in step.reads[0].index), ...)]
    strides = [s * above.itemsize for s in strides_of(array)]
    return np.lib.stride_tricks.as_strided(corner, array.shape, strides)


def call_settled(
    builder: Builder, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run numpy on known arrays alone, else the handler; then write the result to ``out``."""
    kept = dict(kwargs)
    out = kept.pop("out", None)
    target = cast("Any", out[0] if isinstance(out, tuple) else out)
    name = str(getattr(callee.function, "__name__", callee.function))
    result = _called(builder, callee, args, kept)
    return result if target is None else store(builder, result, target, name)


def _called(builder: Builder, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if callee.function in builder.tables.views:
        return callee.handle(callee.function, args, kwargs)
    leaves, tree = flatten((args, kwargs), lambda item: isinstance(item, TracedTensor))
    known = [leaf.is_known for leaf in leaves]
    reals = [values_of(leaf) if leaf.is_known else leaf for leaf in leaves]
    args, kwargs = unflatten(tree, reals) if any(known) else (args, kwargs)
    if known and all(known):
        return _adopted(builder, callee.function(*args, **kwargs))
    return callee.handle(callee.function, args, kwargs)


def _adopted(builder: Builder, result: Any) -> Any:
    """Numpy's results as arrays that may be written into."""
    if isinstance(result, (tuple, list)):
        items = [_adopted(builder, item) for item in cast("Any", result)]
        return items if isinstance(result, list) else tuple(items)
    is_array = isinstance(result, np.ndarray)
    return builder.known(cast("Array", result)) if is_array else result


def store(builder: Builder, result: Any, target: Any, name: str) -> TracedTensor:
    """Write what a function gives into an array, as numpy's ``out=`` does.

    Raises:
        UnsupportedError: the array is no traced one, or of a kind numpy does not cast to.
    """
    if not isinstance(target, TracedTensor):
        raise located(
            UnsupportedError,
            f"numpy.{name}: out= is a {type(target).__name__} from outside of the traced function; "
            "only its arguments and what it makes itself can be written to",
        )
    found = result.dtype if isinstance(result, TracedTensor) else np.asarray(result).dtype
    if found.kind == "f" and target.dtype.kind in "iub":
        raise located(
            UnsupportedError,
            f"numpy.{name} cannot write its {found} result in place into an array of "
            f"{target.dtype}; use astype",
        )
    builder.call(operator.setitem, (target, ..., result), {})
    return target
