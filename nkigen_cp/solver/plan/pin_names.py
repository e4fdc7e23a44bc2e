"""The user's names in a program: which tensors, ops and axes a pin speaks of.

A tensor may have been taken apart into windows (``w.0``, ``w.1``); a pin of ``w`` is of all these.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.factor.program import Access, FactorOp, FactorTensor, Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.plan.pins import FUSE, Demand


def verify_pins(graph: Graph, program: Program, wanted: Iterable[Demand]) -> None:
    """Make sure that every demand speaks of something that the program has.

    ``program`` is the canonical ``graph`` without loops.

    Raises:
        ArgumentError: an unknown tensor, axis or operand, or a demand that makes no sense of it.
    """
    for demand in wanted:
        _known_tensor(graph, program, demand, demand.tensor)
        if demand.kind == FUSE:
            _known_tensor(graph, program, demand, str(demand.value))
        elif demand.kind == "partition":
            _known_axes(program, demand)
        if demand.kind not in ("partition", "tile"):
            _sensible(program, demand)
        if demand.kind == "stationary":
            _known_operand(program, demand)


def tensors_of(program: Program, name: str) -> tuple[str, ...]:
    """The tensors that a name, maybe an op's, stands for: the one of that name and its windows."""
    if name in program.ops and name not in program.tensors:
        name = program.ops[name].output.tensor
    window = re.compile(re.escape(name) + r"(\.\d+)+(_\d+)?")
    return tuple(t for t in program.tensors if t == name or window.fullmatch(t))


def computing(program: Program, tensor: str) -> tuple[FactorOp, ...]:
    """The ops that compute a tensor; of a sum over a loop the one that makes a part of it."""
    found = program.producers(tensor)
    return tuple(program.ops.get(f"{op.name}.part", op) for op in found)


def is_given(program: Program, tensor: str) -> bool:
    """Whether no op writes the tensor: an input, a window of one, a constant."""
    return not program.producers(tensor)


def named_factors(
    tensor: FactorTensor, names: Sequence[str | int], axes: Sequence[str]
) -> dict[int, tuple[str, ...]] | None:
    """The factors that every named axis may put on the partitions; None if one is unknown.

    An axis is the number of a dim, a dim's name (all of its factors) or a single factor's.
    """
    found: dict[int, tuple[str, ...]] = {}
    for k, name in enumerate(names):
        own = _factors(tensor, name, axes)
        if not own:
            return None
        found[k] = own
    return found


def _factors(tensor: FactorTensor, name: str | int, axes: Sequence[str]) -> tuple[str, ...]:
    dims = tensor.dims
    if isinstance(name, int) or name.lstrip("-").isdigit():
        at = int(name)
        inside = -len(dims) <= at < len(dims)
        return tuple(f.name for f in dims[at]) if inside else ()
    if any(f.name == name for f in tensor.factors):
        return (name,)
    of_dims = [f.name for axis, own in zip(axes, dims, strict=False) if axis == name for f in own]
    return tuple(of_dims) or tuple(
        f.name for f in tensor.factors if re.fullmatch(re.escape(name) + r"\.\d+'?\d*", f.name)
    )


def on_partitions(
    program: Program, ops: Sequence[str], domain: FactorOp, digits: Sequence[str], tensor: str
) -> tuple[str, ...]:
    """The factors of a tensor along digits of the domain, for ops that one instruction covers.

    Factors of tensors between the ops tie their digits together.
    """
    known: dict[str, dict[str, str]] = {domain.name: {d: d for d in digits}}
    waiting = [program.ops[n] for n in ops if n != domain.name]
    while waiting:
        pairs = ((program.ops[k], o) for o in waiting for k in known)
        beside, grown = next(p for p in pairs if _ties(*p))
        ties = _ties(beside, grown)
        known[grown.name] = {ties[d]: name for d, name in known[beside.name].items() if d in ties}
        waiting.remove(grown)
    for name, own in known.items():
        for access in (program.ops[name].output, *program.ops[name].accesses):
            if access.tensor == tensor:
                return _addressed(program.tensors[tensor], access, own, digits)
    return ()


def _addressed(
    tensor: FactorTensor, access: Access, own: Mapping[str, str], order: Sequence[str]
) -> tuple[str, ...]:
    found = {
        own[i.digit]: f.name
        for f, i in zip(tensor.factors, access.index, strict=True)
        if i.digit is not None and i.digit in own
    }
    return tuple(found[d] for d in order if d in found)


def _ties(one: FactorOp, other: FactorOp) -> dict[str, str]:
    """Digits of one op and those of another that address the same factors of what one writes."""
    pairs = [(one.output, b) for b in (other.output, *other.accesses)]
    pairs += [(a, other.output) for a in one.accesses]
    for a, b in pairs:
        if a.tensor == b.tensor:
            both = zip(a.index, b.index, strict=True)
            return {i.digit: j.digit for i, j in both if i.digit and j.digit}
    return {}


def _known_tensor(graph: Graph, program: Program, demand: Demand, name: str) -> None:
    if tensors_of(program, name):
        return
    names = list(dict.fromkeys((*program.tensors, *program.ops)))
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    gone = " (it is a view, or was rewritten into other ops)" if name in graph.tensors else ""
    raise ArgumentError(
        f"pin {demand}: the plan has no tensor {name!r}{gone}{meant} Allowed is {', '.join(names)}"
    )


def _known_axes(program: Program, demand: Demand) -> None:
    names = demand.value if isinstance(demand.value, tuple) else (demand.value,)
    for t in tensors_of(program, demand.tensor):
        tensor = program.tensors[t]
        axes = axes_of(program, t)
        for name in names:
            whole = re.sub(r"\.\d+$", "", str(name))  # other loops may split it so
            if not (_factors(tensor, name, axes) or _factors(tensor, whole, axes)):
                factors = [f.name for f in tensor.factors]
                raise ArgumentError(
                    f"pin {demand}: {t!r} of shape {tensor.shape} has no axis {name!r}; allowed "
                    f"is {', '.join(dict.fromkeys((*factors, *axes)))} or the number of a dim"
                )


def axes_of(program: Program, tensor: str) -> tuple[str, ...]:
    """The names of a tensor's dims."""
    known = program.graph.tensors.get(tensor)
    return known.axes if known is not None else ()


def _sensible(program: Program, demand: Demand) -> None:
    """Inputs are computed by nothing and in HBM already; what ops write is never streamed."""
    names = (demand.tensor, str(demand.value)) if demand.kind == FUSE else (demand.tensor,)
    for name in names:
        given = all(is_given(program, t) for t in tensors_of(program, name))
        what = f"pin {demand}: {name!r} is"
        if demand.kind != "residency":
            if given:
                raise ArgumentError(f"{what} an input, which no op writes; pin what an op computes")
        elif given and demand.value in ("spill", "fused"):
            raise ArgumentError(
                f"{what} an input, in HBM from the start; allowed is resident, stream"
            )
        elif not given and demand.value == "stream":
            raise ArgumentError(f"{what} computed on the chip; allowed is resident, spill, fused")


def _known_operand(program: Program, demand: Demand) -> None:
    ops = [o for t in tensors_of(program, demand.tensor) for o in computing(program, t)]
    allowed = dict.fromkeys(a.tensor for o in ops if o.kind == "contract" for a in o.accesses)
    if not allowed:
        raise ArgumentError(f"pin {demand}: {demand.tensor!r} is written by no contraction")
    if demand.value not in (*allowed, "lhs", "rhs"):
        raise ArgumentError(
            f"pin {demand}: allowed is one of its operands {', '.join(allowed)}, or lhs, rhs"
        )
