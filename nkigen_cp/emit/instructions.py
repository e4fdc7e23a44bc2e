"""How each instruction kind of the NKI IR is written as a ``nisa`` call: one row per kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nkigen_cp.emit.expressions import number
from nkigen_cp.emit.scope import Scope
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.collectives import COLLECTIVES, Collective
from nkigen_cp.ir.nki.kernel import Affine, Instruction, Operand, View

Speller = Callable[[Operand, Instruction, Scope], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: IR name, spelling, NKI keyword; left out when it equals ``default``.

    One without a keyword is written as part of another one.
    """

    name: str
    spell: Speller
    keyword: str
    default: Operand = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One instruction kind; ``takes_engine`` when its NKI function has an engine to choose."""

    parameters: tuple[Parameter, ...]
    takes_engine: bool = False


def _wrong(operand: Operand, wanted: str) -> KernelError:
    return KernelError(f"must be {wanted}, is {operand!r}")


def _view(operand: Operand, _: Instruction, scope: Scope) -> str:
    if not isinstance(operand, View):
        raise _wrong(operand, "a view")
    return scope.view(operand).text


def _number(operand: Operand, _: Instruction, __: Scope) -> str:
    if isinstance(operand, bool) or not isinstance(operand, (int, float)):
        raise _wrong(operand, "a number")
    return number(operand)


def _marker(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    """A number put in the place of others; nan is one that equals none of them."""
    if isinstance(operand, float) and math.isnan(operand):
        return 'float("nan")'
    return _number(operand, instruction, scope)


def _vector(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    spell = _view if isinstance(operand, View) else _number
    return spell(operand, instruction, scope)


def _fill(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    """A memset value, of the Python type NKI asks for: int for integers, float for floats."""
    dst = instruction.args.get("dst")
    if isinstance(operand, (int, float)) and isinstance(dst, View):
        is_float = scope.buffer(dst.buffer).dtype.is_float
        if not is_float and operand != int(operand):
            raise _wrong(operand, f"an integer to fill {dst.buffer!r}")
        return number(float(operand) if is_float else int(operand))
    return _number(operand, instruction, scope)


def _index(operand: Operand, _: Instruction, scope: Scope) -> str:
    if isinstance(operand, bool) or not isinstance(operand, (int, Affine)):
        raise _wrong(operand, "an integer or affine in loop variables")
    return scope.index(operand)


def _condition(operand: Operand, _: Instruction, scope: Scope) -> str:
    if isinstance(operand, bool):
        return str(operand)
    if not isinstance(operand, Affine):
        raise _wrong(operand, "affine in loop variables")
    return scope.positive(operand)


def _flag(operand: Operand, _: Instruction, __: Scope) -> str:
    if not isinstance(operand, bool):
        raise _wrong(operand, "True or False")
    return str(operand)


def _named(prefix: str) -> Speller:
    def spell(operand: Operand, _: Instruction, __: Scope) -> str:
        if not isinstance(operand, str) or not operand.isidentifier():
            raise _wrong(operand, f"the name of one of {prefix}")
        return f"{prefix}.{operand}"

    return spell


def _pattern(operand: Operand, _: Instruction, __: Scope) -> str:
    if not isinstance(operand, tuple):
        raise _wrong(operand, "a tuple of (step, count) pairs")
    return "[" + ", ".join(f"[{step}, {count}]" for step, count in operand) + "]"


def _trailing_axes(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    """``num_axes`` counted from the end, as positions in the data as it is written."""
    data = instruction.args.get("data")
    if isinstance(operand, bool) or not isinstance(operand, int) or not isinstance(data, View):
        raise _wrong(operand, "a number of trailing dims of a view")
    rank = scope.view(data).rank
    if not 0 < operand < rank:
        raise _wrong(operand, f"between 1 and {rank - 1} (the partition is never reduced)")
    axes = [str(axis) for axis in range(rank - operand, rank)]
    return axes[0] if len(axes) == 1 else f"({', '.join(axes)})"


def _picked(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    """A view of which the instruction's index says the position."""
    index = instruction.args.get("index")
    if not isinstance(operand, View) or not isinstance(index, View):
        raise _wrong(operand, "a view, and the index another one")
    return scope.picked(operand, index)


def _positions(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    """Indices as unsigned integers; valid ones have the same bits."""
    text = _view(operand, instruction, scope)
    assert isinstance(operand, View)
    is_signed = scope.buffer(operand.buffer).dtype.kind == "int"
    return f"{text}.view(nl.uint32)" if is_signed else text


def _tensors(operand: Operand, instruction: Instruction, scope: Scope) -> str:
    return f"[{_view(operand, instruction, scope)}]"


def _groups(operand: Operand, _: Instruction, __: Scope) -> str:
    if not isinstance(operand, tuple):
        raise _wrong(operand, "a tuple of replica groups")
    return f"ncc.ReplicaGroup({[[*group] for group in operand]})"


def _where(instruction: Instruction) -> str:
    dst = instruction.args.get("dst")
    into = f" into {dst.buffer!r}" if isinstance(dst, View) else ""
    ops = f" (computes {', '.join(instruction.ops)})" if instruction.ops else ""
    return f"{instruction.kind}{into}{ops}"


def _p(
    name: str, spell: Speller, *, default: Operand = None, keyword: str | None = None
) -> Parameter:
    word = name if keyword is None else keyword
    return Parameter(name=name, spell=spell, keyword=word, default=default)


def _row(*parameters: Parameter, engine: bool = False) -> Row:
    return Row(parameters=parameters, takes_engine=engine)


_op = _named("nl")
_DST, _SRC, _DATA = _p("dst", _view), _p("src", _view), _p("data", _view)
_OP0, _OPERAND0 = _p("op0", _op), _p("operand0", _vector)
_REVERSE0, _REVERSE1 = _p("reverse0", _flag, default=False), _p("reverse1", _flag, default=False)
_REDUCE_OP, _REDUCE_RES = _p("reduce_op", _op), _p("reduce_res", _view)
_INDEX = _p("index", _view, keyword="")
_PATTERN, _CHANNEL = _p("pattern", _pattern), _p("channel_multiplier", _number)


def _collective(c: Collective) -> Row:
    """Lists of tensors, one of each; a dim unless all of them stay as they are."""
    ends = (_p("src", _tensors, keyword="srcs"), _p("dst", _tensors, keyword="dsts"))
    dim = (_p("collective_dim", _number),) if c.name != "all_reduce" else ()
    return _row(*ends, _p("replica_group", _groups), *dim, *((_p("op", _op),) if c.reduces else ()))


ROWS: Mapping[str, Row] = {
    # The engine of a DMA is its queue, which NKI chooses unless the descriptors are made by hand.
    "dma_copy": _row(_DST, _SRC),
    "dma_gather": _row(_DST, _p("src", _picked), _INDEX),
    "dma_fetch": _row(_DST, _p("src", _picked), _INDEX),
    "dma_put": _row(_p("dst", _picked), _SRC, _INDEX),
    **{c.name: _collective(c) for c in COLLECTIVES.values()},
    "nc_n_gather": _row(_DST, _DATA, _p("indices", _positions)),
    "nc_matmul": _row(
        *(_DST, _p("stationary", _view), _p("moving", _view), _p("accumulate", _condition)),
        _p("perf_mode", _named("nisa.matmul_perf_mode"), default="none"),
    ),
    "nc_transpose": _row(_DST, _DATA, engine=True),
    "tensor_copy": _row(_DST, _SRC, engine=True),
    "memset": _row(_DST, _p("value", _fill), engine=True),
    "tensor_tensor": _row(_DST, _p("data1", _view), _p("data2", _view), _p("op", _op), engine=True),
    "tensor_scalar": _row(
        *(_DST, _DATA, _OP0, _OPERAND0, _REVERSE0),
        *(_p("op1", _op), _p("operand1", _vector), _REVERSE1),
        engine=True,
    ),
    "scalar_tensor_tensor": _row(
        *(_DST, _DATA, _OP0, _OPERAND0, _p("op1", _op), _p("operand1", _view)),
        *(_REVERSE0, _REVERSE1),
    ),
    "tensor_reduce": _row(
        *(_DST, _p("op", _op), _DATA, _p("num_axes", _trailing_axes, keyword="axis")),
        _p("negate", _flag, default=False),
    ),
    "activation": _row(
        *(_DST, _p("op", _op), _DATA, _p("bias", _vector), _p("scale", _vector, default=1.0)),
        *(_REDUCE_OP, _REDUCE_RES),
        _p("reduce_cmd", _named("nisa.reduce_cmd"), default="idle"),
    ),
    "reciprocal": _row(_DST, _DATA),
    "tensor_scalar_reduce": _row(
        *(_DST, _DATA, _OP0, _OPERAND0, _REDUCE_OP, _REDUCE_RES),
        _p("reduce_cmd", _named("nisa.reduce_cmd"), default="reset_reduce"),
        _p("negate", _flag, default=False, keyword="reduce_res_negate"),
    ),
    "tensor_copy_predicated": _row(
        *(_DST, _SRC, _p("predicate", _view), _p("reverse_pred", _flag, default=False))
    ),
    "select_reduce": _row(
        *(_DST, _p("predicate", _view), _p("on_true", _view), _p("on_false", _vector)),
        _p("reverse_pred", _flag, default=False),
    ),
    "iota": _row(_DST, _PATTERN, _p("offset", _index, default=0), _CHANNEL),
    "affine_select": _row(
        *(_DST, _PATTERN, _CHANNEL, _p("on_true_tile", _view), _p("on_false_value", _number)),
        *(_p("cmp_op", _op), _p("offset", _index, default=0)),
    ),
    "tensor_scalar_cumulative": _row(
        *(_DST, _SRC, _OP0, _p("op1", _op), _p("imm0", _vector)),
        _p("reduce_cmd", _named("nisa.reduce_cmd"), default="reset_reduce"),
    ),
    "max8": _row(_DST, _SRC),
    "nc_find_index8": _row(_DST, _DATA, _p("vals", _view)),
    "nc_match_replace8": _row(_DST, _DATA, _p("vals", _view), _p("imm", _marker)),
    "bn_stats": _row(_DST, _DATA),
    "bn_aggr": _row(_DST, _DATA),
}


def call_arguments(instruction: Instruction, scope: Scope) -> list[str]:
    """``keyword=value`` texts of the instruction's call, in the order of its NKI signature.

    Raises:
        KernelError: unknown kind or parameter, or an operand of the wrong sort; names both.
    """
    if instruction.kind not in ROWS:
        raise KernelError(
            f"instruction kind {instruction.kind!r} cannot be emitted; known: {', '.join(ROWS)}"
        )
    row = ROWS[instruction.kind]
    known = {p.name for p in row.parameters}
    unknown = [name for name in instruction.args if name not in known]
    if unknown:
        raise KernelError(
            f"{instruction.kind} has no parameter {unknown[0]!r}; "
            f"it has {', '.join(p.name for p in row.parameters)}"
        )
    texts: list[str] = []
    for parameter in row.parameters:
        operand = instruction.args.get(parameter.name)
        if operand is None or (parameter.default is not None and operand == parameter.default):
            continue
        if not parameter.keyword:
            continue
        try:
            text = parameter.spell(operand, instruction, scope)
        except KernelError as error:
            raise KernelError(f"{_where(instruction)}, {parameter.name}: {error}") from error
        texts.append(f"{parameter.keyword}={text}")
    if row.takes_engine:
        texts.append(f"engine=nisa.engine.{instruction.engine}")
    return texts
