"""Gives every contraction operands that the Tensor engine multiplies together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32, TFLOAT32, DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.tensor.graph import Axis, Op, Operand, identity_index
from nkigen_cp.ir.tensor.table import Family

Wanted = Callable[[tuple[DType, ...]], DType | None]


def _exact(dtypes: tuple[DType, ...]) -> DType | None:
    """Floats of 32 bits only go with their own; narrower ones mix (instructions.md, nc_matmul)."""
    widest = next((d for d in (FLOAT32, TFLOAT32) if d in dtypes), None)
    return widest if any(d != widest for d in dtypes) else None


def _bfloat16(dtypes: tuple[DType, ...]) -> DType | None:
    return BFLOAT16 if FLOAT32 in dtypes else None


def _tfloat32(dtypes: tuple[DType, ...]) -> DType | None:
    return TFLOAT32 if FLOAT32 in dtypes or TFLOAT32 in dtypes else None


_PRECISIONS: Mapping[str, Wanted] = {"exact": _exact, "tf32": _tfloat32, "bf16": _bfloat16}


def check_precision(name: str) -> None:
    """Refuse a precision that is not offered.

    Raises:
        UnsupportedError: the name is not in the table; the message lists what is.
    """
    if name not in _PRECISIONS:
        allowed = ", ".join(repr(n) for n in _PRECISIONS)
        raise UnsupportedError(
            f"matmul_precision={name!r} is not supported; allowed: {allowed}; "
            "use 'tf32' or 'bf16' to let matmuls of float32 values run narrower"
        )


def set_contract_dtypes(draft: Draft, precision: str) -> None:
    """Cast the operands of contractions: to float32 beside float32, or float32 to what is wanted.

    ``exact`` widens what stands beside a float32 operand, the others narrow every float32 operand.
    Results keep their dtype: the Tensor engine accumulates in float32 in any case.
    """
    for op in draft:
        dtypes = tuple(draft.dtype(o.tensor) for o in op.operands)
        if draft.family(op) is not Family.CONTRACT or not all(d.is_float for d in dtypes):
            continue
        wanted = _PRECISIONS[precision](dtypes)
        if wanted is None:
            continue
        for tensor in dict.fromkeys(o.tensor for o in op.operands):
            if _changes(draft.dtype(tensor), wanted):
                draft.read_instead(op, tensor, cast_before(draft, tensor, wanted, op))


def _changes(dtype: DType, wanted: DType) -> bool:
    return dtype != wanted and (FLOAT32 in (dtype, wanted) or wanted == TFLOAT32)


def cast_before(draft: Draft, name: str, dtype: DType, before: Op) -> str:
    """A tensor in another type, made right before an op."""
    tensor = draft.tensors[name]
    result = draft.new_tensor(f"{name}_{dtype.name}", replace(tensor, dtype=dtype))
    index = identity_index(range(len(tensor.shape)))
    draft.add(
        Op(
            name=draft.new_op_name(f"{before.name}_{dtype.name}"),
            kind="copy",
            axes=tuple(
                Axis(name=a, size=s) for a, s in zip(tensor.axes, tensor.shape, strict=True)
            ),
            inputs=(Operand(tensor=name, index=index),),
            outputs=(Operand(tensor=result, index=index),),
            attrs={"dtype": dtype.name},
            source=before.source,
        ),
        before=before.name,
    )
    return result
