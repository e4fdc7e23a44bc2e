"""Convolutions: contractions of which one operand is read in windows that slide.

Nothing is gathered: the kernel's place is one more contracted axis, which moves the window by the
dilation, as the output's place moves it by the stride.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ArgumentError, ShapeError
from nkigen_cp.frontend.builder import Read, Step
from nkigen_cp.frontend.callsite import located
from nkigen_cp.frontend.operands import along, as_tensor, builder_of, common_dtype
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import DimIndex, Term, identity_index

Sizes = int | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """A convolution along one dim: sizes of input (padded), kernel and output; steps."""

    size: int
    kernel: int
    stride: int
    dilation: int

    @property
    def made(self) -> int:
        """Positions of the output."""
        return (self.size - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def used(self) -> int:
        """Positions of the padded input up to the last one that is read."""
        return (self.made - 1) * self.stride + (self.kernel - 1) * self.dilation + 1


def convolve(  # noqa: PLR0913 - the arguments that convolutions have everywhere
    x: Any,
    weight: Any,
    bias: Any,
    rank: int,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """The convolution of (N, C, dims...) with (O, C / groups, kernel...), zeros around it.

    Args:
        x: input of ``rank`` spatial dims.
        weight: kernels.
        bias: (O,) or None.
        rank: spatial dims, 1 to 3.
        stride: step of the window per output position, for all dims or for each.
        padding: zeros before and behind each dim.
        dilation: distance of the kernel's elements.
        groups: parts of the channels, each convolved by itself.

    Raises:
        ShapeError: ranks or channels disagree, or the kernel is larger than the padded input.
        ArgumentError: a stride, dilation or number of groups is less than 1, a padding less than 0.
    """
    name = f"conv{rank}d"
    _check_shapes(name, x, weight, bias, rank, groups)
    strides, dilations = (_each(name, w, v, rank, 1) for w, v in
                          (("stride", stride), ("dilation", dilation)))  # fmt: skip
    paddings = _each(name, "padding", padding, rank, 0)
    if any(paddings):
        x = cast("Any", np).pad(x, [(0, 0), (0, 0), *((p, p) for p in paddings)])
    spatial = zip(x.shape[2:], weight.shape[2:], strides, dilations, strict=True)
    dims = [Along(size=n, kernel=k, stride=s, dilation=d) for n, k, s, d in spatial]
    if any(d.size <= d.dilation * (d.kernel - 1) for d in dims):
        raise located(
            ShapeError,
            f"{name}: a kernel of {weight.shape[2:]} with dilation {dilations} is larger than the "
            f"padded input {x.shape[2:]}",
        )
    x = x[(slice(None), slice(None), *(slice(0, d.used) for d in dims))]
    traced = isinstance(x, TracedTensor) or isinstance(weight, TracedTensor)
    parted = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    kernels = (groups, weight.shape[0] // groups, *weight.shape[1:])
    product = _contracted if traced else _summed
    result = product(np.reshape(x, parted), np.reshape(weight, kernels), dims)
    result = np.reshape(result, (x.shape[0], weight.shape[0], *(d.made for d in dims)))
    return result if bias is None else result + np.reshape(bias, (-1, *(1,) * rank))


def _contracted(x: Any, weight: Any, dims: Sequence[Along]) -> TracedTensor:
    """The contraction over channels and kernel of (N, G, C, ...) and (G, O, C, ...)."""
    builder = builder_of((x, weight))
    x, weight = as_tensor(builder, x), as_tensor(builder, weight)
    made, kernel = [d.made for d in dims], [d.kernel for d in dims]
    sizes = (*x.shape[:2], weight.shape[1], *made, x.shape[2], *kernel)
    rank, channel = len(dims), 3 + len(dims)
    window = (
        DimIndex(
            terms=(
                Term(axis=3 + k, stride=d.stride),
                Term(axis=channel + 1 + k, stride=d.dilation),
            )
        )
        for k, d in enumerate(dims)
    )
    reduced = range(channel, channel + 1 + rank)
    step = Step(
        kind="contract",
        sizes=sizes,
        inputs=[
            Read(tensor=x, index=(*identity_index((0, 1)), along(channel), *window)),
            Read(tensor=weight, index=identity_index((1, 2, *reduced))),
        ],
        index=identity_index(range(channel)),
        reduced=tuple(reduced),
    )
    return builder.emit(step, sizes[:channel], common_dtype(builder, (x, weight), None))


def _summed(x: Any, weight: Any, dims: Sequence[Along]) -> Any:
    """The same for numpy arrays, summed over the kernel's places."""
    total: Any = 0
    for place in itertools.product(*(range(d.kernel) for d in dims)):
        starts = [p * d.dilation for p, d in zip(place, dims, strict=True)]
        window = tuple(
            slice(s, s + (d.made - 1) * d.stride + 1, d.stride)
            for s, d in zip(starts, dims, strict=True)
        )
        part = x[(..., *window)].astype(np.float64)
        total = total + np.einsum("ngc...,goc->ngo...", part, weight[(..., *place)])
    return total.astype(np.result_type(x.dtype, weight.dtype))


def _each(name: str, what: str, value: Sizes, rank: int, least: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(v < least for v in values):
        raise located(
            ArgumentError,
            f"{name}: {what} {value} must be a number of at least {least} or {rank} of them",
        )
    return values


def _check_shapes(name: str, x: Any, weight: Any, bias: Any, rank: int, groups: int) -> None:
    if len(x.shape) != rank + 2 or len(weight.shape) != rank + 2:
        raise located(
            ShapeError,
            f"{name}: shapes {x.shape} and {weight.shape} must have {rank + 2} dims each: "
            "(batch, channels, dims...) and (outputs, channels, kernel...)",
        )
    outputs, channels = weight.shape[:2]
    if groups < 1 or outputs % groups or x.shape[1] != channels * groups:
        raise located(
            ShapeError,
            f"{name}: shapes {x.shape} and {weight.shape} disagree: with {groups} groups the input "
            f"must have {channels * max(groups, 1)} channels, and the outputs must divide by them",
        )
    if bias is not None and math.prod(bias.shape) != outputs:
        raise located(
            ShapeError, f"{name}: a bias of shape {bias.shape} does not fit {outputs} outputs"
        )
